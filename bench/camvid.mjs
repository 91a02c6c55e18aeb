// CamVid's two pairs of domains from the SegNet version of the data, as folders of links and lists of names: nothing is
// copied. Day to dusk: the sequence 0001TP is the dusk. Rendered to real: all of it.
// Usage: node bench/camvid.mjs CAMVID [--out data/camvid]
//   CAMVID has train, trainannot, val, valannot, test, testannot. Writes day, dusk and all, and of each a version `-dev`
//   to choose settings on, in which a part of the training images stands for the validation images.

import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: 'data/camvid' } },
});
const [root] = positionals;
if (!root) throw new Error('Usage: node bench/camvid.mjs CAMVID [--out data/camvid]');
const DUSK = '0001TP';

const names = (split) => readdirSync(join(root, split)).filter((name) => name.endsWith('.png'));
const isDusk = (name) => name.startsWith(DUSK);
const train = names('train');
const day = train.filter((name) => !isDusk(name));
const dusk = train.filter(isDusk);
/** Whole stretches of a sequence, since neighbouring frames are much alike. */
const rest = (list, share) => list.slice(0, Math.round(share * list.length));
const end = (list, share) => list.slice(Math.round(share * list.length));

write('day', { train: ['train', day] });
write('dusk', { train: ['train', dusk], val: ['test', names('test').filter(isDusk)] });
write('all', { train: ['train', train], val: ['val', names('val')] });
write('dusk-dev', { train: ['train', rest(dusk, 0.7)], val: ['train', end(dusk, 0.7)] });
write('all-dev', { train: ['train', rest(train, 0.8)], val: ['train', end(train, 0.8)] });

/** @param splits by their names in the result: the split whose folder the images are in, and their names. */
function write(name, splits) {
  const folder = join(flags.out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [split, [from, list]] of Object.entries(splits)) {
    for (const kind of ['', 'annot']) symlinkSync(resolve(root, from + kind), join(folder, split + kind));
    writeFileSync(join(folder, `${split}.txt`), `${list.join('\n')}\n`);
  }
  const counts = Object.entries(splits).map(([split, [, list]]) => `${list.length} ${split}`);
  console.log(`${folder}: ${counts.join(', ')}`);
}
