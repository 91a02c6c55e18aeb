// The classes of COCO-Stuff: 80 things of COCO and 91 kinds of stuff, by their category ids.
import type { ListedClass } from './listed-classes.js';

/** By category id, from 1; nothing between commas where COCO has an id without a labelled pixel. */
const THINGS = (
  'person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,' +
  'parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,' +
  'handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,' +
  'surfboard,tennis racket,bottle,,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,' +
  'broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,,dining table,,,toilet,,tv,' +
  'laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,,book,clock,vase,' +
  'scissors,teddy bear,hair drier,toothbrush,'
).split(',');

/** By category id, from 92. */
const STUFF = (
  'banner,blanket,branch,bridge,building-other,bush,cabinet,cage,cardboard,carpet,ceiling-other,' +
  'ceiling-tile,cloth,clothes,clouds,counter,cupboard,curtain,desk-stuff,dirt,door-stuff,fence,' +
  'floor-marble,floor-other,floor-stone,floor-tile,floor-wood,flower,fog,food-other,fruit,' +
  'furniture-other,grass,gravel,ground-other,hill,house,leaves,light,mat,metal,mirror-stuff,moss,' +
  'mountain,mud,napkin,net,paper,pavement,pillow,plant-other,plastic,platform,playingfield,railing,' +
  'railroad,river,road,rock,roof,rug,salad,sand,sea,shelf,sky-other,skyscraper,snow,solid-other,stairs,' +
  'stone,straw,structural-other,table,tent,textile-other,towel,tree,vegetable,wall-brick,wall-concrete,' +
  'wall-other,wall-panel,wall-stone,wall-tile,wall-wood,water-other,waterdrops,window-blind,' +
  'window-other,wood'
).split(',');

/**
 * The 171 classes by category id, as in labels.txt of the COCO-Stuff repository (Caesar et al., CVPR 2018).
 * @param offset from category ids to values in the labels
 */
export function cocoStuffClasses(offset: number): ListedClass[] {
  const listed: ListedClass[] = [];
  for (const [i, name] of [...THINGS, ...STUFF].entries()) {
    const kind = i < THINGS.length ? 'thing' : 'stuff';
    if (name !== '') listed.push({ name, value: i + 1 + offset, kind });
  }
  return listed;
}

/** The classes of the stuff challenge of 2017: stuff, and all things as one class. */
export function cocoChallengeClasses(): ListedClass[] {
  const stuff = cocoStuffClasses(0).filter(({ kind }) => kind === 'stuff');
  return [...stuff, { name: 'other', value: 183, kind: 'stuff' }];
}
