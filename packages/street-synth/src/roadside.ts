// What stands beside the road: houses, towers, walls, fences, hedges and trees.
import { blend, scale } from './color.js';
import type { Look } from './domains.js';
import { type Cutout, facade, foliage, masonry, type Paint, plain, tower } from './paint.js';
import { bar, board, box, disc, face, frameAt, ID } from './primitives.js';
import type { Random } from './random.js';
import { CAST, type Stage } from './stage.js';

/** One side of the street: -1 left, 1 right. */
export type Side = -1 | 1;

/** A lot along the street: its front at lateral position x, from z0 to z1. */
export interface Lot {
  side: Side;
  x: number;
  z0: number;
  z1: number;
}

const UPRIGHT = frameAt(0, 0, 0);

/** An upright wall along the street with v the height; u counts along it. */
function frontWall(
  stage: Stage,
  lot: Lot,
  y0: number,
  y1: number,
  paint: Paint,
  labelId: number,
  x = lot.x,
): void {
  const { side, z0, z1 } = lot;
  const sx = side * x;
  face(
    stage,
    UPRIGHT,
    [sx, y0, z0, z0, y0, sx, y0, z1, z1, y0, sx, y1, z1, z1, y1, sx, y1, z0, z0, y1],
    [-side, 0, 0],
    paint,
    labelId,
  );
}

/** An upright wall across, at z, from lateral position xa outward to xb. */
function crossWall(
  stage: Stage,
  side: Side,
  xa: number,
  xb: number,
  z: number,
  y0: number,
  y1: number,
  paint: Paint,
  labelId: number,
): void {
  const a = side * xa;
  const b = side * xb;
  face(
    stage,
    UPRIGHT,
    [a, y0, z, xa, y0, b, y0, z, xb, y0, b, y1, z, xb, y1, a, y1, z, xa, y1],
    [0, 0, -1],
    paint,
    labelId,
  );
}

export interface House {
  storeys: number;
  curtainWall: boolean;
  depth: number;
}

/** A building whose front is the lot's front, with its near gable, roof and, at times, balconies. */
export function building(stage: Stage, look: Look, random: Random, lot: Lot, house: House): void {
  const { palette, textures } = look;
  const floor = house.curtainWall ? random.range(3.2, 3.9) : random.range(2.7, 3.4);
  const shop = random.chance(textures.shops) ? random.range(3, 4) : 0;
  const height = Math.max(3.2, shop + house.storeys * floor);
  const wall = palette.wall();
  const trim = blend(palette.trim, wall, random.range(0, 0.5));
  const bay = random.range(textures.bay[0], textures.bay[1]);
  const paint = house.curtainWall
    ? tower(
        palette.metal(),
        palette.window,
        scale(palette.mirror, random.range(0.6, 1)),
        bay * 0.6,
        floor,
        random.range(0.12, 0.4),
      )
    : facade({
        wall,
        trim,
        glass: palette.window,
        bay,
        floor,
        windowWidth: random.range(textures.windowWidth[0], textures.windowWidth[1]),
        windowHeight: random.range(textures.windowHeight[0], textures.windowHeight[1]),
        brick: random.chance(textures.brickShare) ? textures.brick : 0,
        shop,
      });
  const { side, x, z0, z1 } = lot;
  stage.wallShadow(side * x, z0, z1, height);
  frontWall(stage, lot, 0, height, paint, ID.building);
  const gable = random.chance(0.4) && !house.curtainWall ? plain(scale(wall, 0.95), 0.12, 4) : paint;
  crossWall(stage, side, x, x + house.depth, z0, 0, height, gable, ID.building);
  const pitched = !house.curtainWall && house.storeys <= 6 && random.chance(0.65);
  if (pitched) roof(stage, look, random, lot, height, house.depth, gable);
  else if (random.chance(0.5)) {
    // A ledge along the flat roof.
    const ledge = { side, x: x - 0.3, z0, z1 };
    frontWall(stage, ledge, height - 0.4, height + 0.3, plain(trim, 0.06, 2), ID.building);
    crossWall(
      stage,
      side,
      x - 0.3,
      x + house.depth,
      z0,
      height - 0.4,
      height + 0.3,
      plain(trim, 0.06, 2),
      ID.building,
    );
  }
  if (!house.curtainWall && house.storeys > 1 && random.chance(0.25))
    balconies(stage, random, lot, shop, floor, height, bay, plain(trim, 0.08, 4));
  if (shop > 0 && random.chance(0.4)) awning(stage, look, lot, shop);
}

function roof(
  stage: Stage,
  look: Look,
  random: Random,
  lot: Lot,
  height: number,
  depth: number,
  gable: Paint,
): void {
  const { side, x, z0, z1 } = lot;
  const ridge = height + random.range(2, 4);
  const tiles = plain(look.palette.roof(), 0.2, 5);
  const a = side * (x - 0.35);
  const b = side * (x + depth / 2);
  const c = side * (x + depth);
  face(
    stage,
    UPRIGHT,
    [
      a,
      height - 0.1,
      z0,
      z0,
      0,
      a,
      height - 0.1,
      z1,
      z1,
      0,
      b,
      ridge,
      z1,
      z1,
      depth / 2,
      b,
      ridge,
      z0,
      z0,
      depth / 2,
    ],
    [-side * 0.6, 0.8, 0],
    tiles,
    ID.building,
  );
  face(
    stage,
    UPRIGHT,
    [side * x, height, z0, 0, height, c, height, z0, depth, height, b, ridge, z0, depth / 2, ridge],
    [0, 0, -1],
    gable,
    ID.building,
  );
  if (random.chance(0.5)) {
    const chimney = frameAt(side * (x + depth * 0.3), (z0 + z1) / 2, 0, height);
    box(
      stage,
      chimney,
      { x0: -0.4, x1: 0.4, y0: 0, y1: ridge - height + 0.6, z0: -0.4, z1: 0.4 },
      ID.building,
      tiles,
    );
  }
}

function balconies(
  stage: Stage,
  random: Random,
  lot: Lot,
  shop: number,
  floor: number,
  height: number,
  bay: number,
  paint: Paint,
): void {
  const column = random.int(1, 2);
  for (let y = shop + floor; y < height - 2; y += floor) {
    for (let z = Math.ceil(lot.z0 / bay) * bay; z + bay * 0.9 < lot.z1; z += bay * (column + 1)) {
      const x0 = lot.side * lot.x;
      const x1 = lot.side * (lot.x - 0.9);
      box(
        stage,
        UPRIGHT,
        {
          x0: Math.min(x0, x1),
          x1: Math.max(x0, x1),
          y0: y - 0.15,
          y1: y + 0.85,
          z0: z + 0.1,
          z1: z + bay * 0.9,
        },
        ID.building,
        paint,
      );
    }
  }
}

function awning(stage: Stage, look: Look, lot: Lot, shop: number): void {
  const { side, x, z0, z1 } = lot;
  const a = side * x;
  const b = side * (x - 1.2);
  const y0 = shop * 0.78;
  const cloth = plain(look.palette.car(), 0.1, 3);
  face(
    stage,
    UPRIGHT,
    [
      b,
      y0 - 0.5,
      z0 + 0.4,
      z0,
      0,
      b,
      y0 - 0.5,
      z1 - 0.4,
      z1,
      0,
      a,
      y0,
      z1 - 0.4,
      z1,
      1,
      a,
      y0,
      z0 + 0.4,
      z0,
      1,
    ],
    [-side * 0.38, 0.92, 0],
    cloth,
    ID.building,
  );
  face(
    stage,
    UPRIGHT,
    [
      b,
      y0 - 0.75,
      z0 + 0.4,
      z0,
      0,
      b,
      y0 - 0.75,
      z1 - 0.4,
      z1,
      0,
      b,
      y0 - 0.5,
      z1 - 0.4,
      z1,
      1,
      b,
      y0 - 0.5,
      z0 + 0.4,
      z0,
      1,
    ],
    [-side, 0, 0],
    cloth,
    ID.building,
  );
}

/** A solid wall beside the road, 1 to 4 m high. */
export function wall(stage: Stage, look: Look, random: Random, lot: Lot, height: number): void {
  const color = random.chance(0.5) ? look.palette.wall() : look.palette.kerb;
  const paint = masonry(color, scale(color, 0.8), random.chance(0.6) ? 0.28 : 0);
  solid(stage, lot, height, 0.35, paint, plain(scale(color, 1.05), 0.08, 4), ID.wall);
}

/** A hedge, 0.8 to 2.5 m high. */
export function hedge(stage: Stage, look: Look, lot: Lot, height: number, depth: number): void {
  const dark = look.palette.leafDark();
  const leaves = foliage(
    dark,
    look.palette.leafLight(dark),
    look.textures.leaf,
    look.textures.leafContrast,
    height,
  );
  solid(stage, lot, height * 0.8, depth, leaves, leaves, ID.vegetation);
  const cutout: Cutout = { shape: 'hedge', height, detail: 14 };
  frontWall(stage, lot, 0, height, { ...leaves, cutout }, ID.vegetation);
}

function solid(
  stage: Stage,
  lot: Lot,
  height: number,
  depth: number,
  side: Paint,
  top: Paint,
  labelId: number,
): void {
  const { x, z0, z1 } = lot;
  stage.wallShadow(lot.side * x, z0, z1, height);
  const a = lot.side * x;
  const b = lot.side * (x + depth);
  box(stage, UPRIGHT, { x0: Math.min(a, b), x1: Math.max(a, b), y0: 0, y1: height, z0, z1 }, labelId, {
    side,
    front: side,
    back: side,
    top,
  });
}

/** A fence one can see through, or of boards. */
export function fence(
  stage: Stage,
  look: Look,
  random: Random,
  lot: Lot,
  height: number,
  across = false,
): void {
  const type = random.weighted({ railings: 4, mesh: 2, boards: 2 });
  const color =
    type === 'boards'
      ? blend(look.palette.bark, look.palette.trim, random.range(0, 0.8))
      : scale(look.palette.metal(), random.range(0.5, 1.1));
  const paint = plain(color, 0.15, 6);
  const cutout: Cutout | undefined =
    type === 'railings'
      ? {
          shape: 'bars',
          period: random.range(0.22, 0.4),
          share: random.range(0.3, 0.45),
          rails: [height - 0.08, 0.15],
        }
      : type === 'mesh'
        ? { shape: 'mesh', period: 0.3, share: 0.22 }
        : undefined;
  const boards = cutout === undefined ? masonry(color, scale(color, 0.7), 0.35) : { ...paint, cutout };
  if (across) {
    crossWall(stage, lot.side, lot.x, lot.x + 12, lot.z0, 0, height, boards, ID.fence);
    return;
  }
  frontWall(stage, lot, 0, height, boards, ID.fence);
  for (let z = lot.z0; z <= lot.z1; z += 2.6) {
    bar(stage, [lot.side * lot.x, 0], [lot.side * lot.x, height + 0.08], z, 0.09, paint, ID.fence, 1.001);
  }
}

/** A tree at (x, z) on ground of height y: broad, tall and narrow, or a palm. */
export function tree(
  stage: Stage,
  look: Look,
  random: Random,
  x: number,
  y: number,
  z: number,
  size: number,
): void {
  const { palette, textures } = look;
  stage.inShade = stage.isShaded(x, z);
  const type = random.weighted({ broad: 6, narrow: 1.5, palm: look.textures.leaf < 14 ? 2 : 0 });
  const dark = palette.leafDark();
  const light = palette.leafLight(dark);
  const height = size * random.range(0.85, 1.15) * (type === 'broad' ? 1 : 1.25);
  const bark = plain(palette.bark, 0.3, 10);
  const crownRadius = height * (type === 'broad' ? random.range(0.26, 0.36) : random.range(0.13, 0.18));
  const trunk =
    type === 'narrow'
      ? height * 0.2
      : type === 'palm'
        ? height * 0.92
        : Math.max(1.7, height * random.range(0.3, 0.4));
  const girth = type === 'palm' ? 0.28 : 0.1 + height * 0.028;
  board(
    stage,
    x,
    y,
    z,
    [-girth / 2, 0, girth / 2, 0, girth * 0.35, trunk + 0.4, -girth * 0.35, trunk + 0.4],
    bark,
    ID.vegetation,
  );
  const reach = stage.inShade ? undefined : stage.shadowReach(trunk + crownRadius);
  if (reach !== undefined) {
    const outline: number[] = [];
    for (let i = 0; i < 10; i++) {
      const angle = (Math.PI * i) / 5;
      outline.push(
        x + reach.dx + crownRadius * Math.cos(angle),
        z + reach.dz + crownRadius * 1.2 * Math.sin(angle),
      );
    }
    stage.shadowOnGround(outline, CAST);
    stage.shadowOnGround(
      [x - girth, z, x + girth, z, x + girth + reach.dx, z + reach.dz, x - girth + reach.dx, z + reach.dz],
      CAST,
    );
  }
  if (type === 'palm') {
    for (let i = 0; i < 9; i++) {
      const angle = (Math.PI * (i + random.range(0, 0.8))) / 8 - 0.2;
      const length = random.range(1.6, 2.3);
      const knee: [number, number] = [
        x + Math.cos(angle) * length * 0.6,
        y + trunk + Math.sin(angle) * length * 0.5 + 0.25,
      ];
      const tip: [number, number] = [
        x + Math.cos(angle) * length,
        y + trunk + Math.sin(angle) * length * 0.4 - 0.5,
      ];
      const frond = foliage(dark, light, textures.leaf, textures.leafContrast, 0);
      bar(stage, [x, y + trunk], knee, z, 0.42, frond, ID.vegetation, 1.0005);
      bar(stage, knee, tip, z, 0.3, frond, ID.vegetation, 1.0005);
    }
    stage.inShade = false;
    return;
  }
  const parts = type === 'broad' ? random.int(4, 7) : 3;
  for (let i = 0; i < parts; i++) {
    const spread = i === 0 ? 0 : crownRadius * (type === 'broad' ? 0.75 : 0.15);
    const angle = random.range(0, 2 * Math.PI);
    const rx = crownRadius * (i === 0 ? 1 : random.range(0.55, 0.8));
    const ry = type === 'broad' ? rx * random.range(0.75, 1) : (height - trunk) * 0.52;
    const lift = type === 'broad' ? Math.sin(angle) * spread * 0.8 : random.range(-0.3, 0.3);
    const tone = random.range(0.8, 1.12);
    const leaves: Paint = {
      ...foliage(scale(dark, tone), scale(light, tone), textures.leaf, textures.leafContrast, ry),
      cutout: { shape: 'crown', radiusU: rx, radiusV: ry, detail: random.range(6, 12) },
    };
    const centre = trunk + (height - trunk) * 0.45 + lift;
    disc(
      stage,
      x + Math.cos(angle) * spread,
      y + centre,
      z + random.range(-0.5, 0.5) * crownRadius,
      rx * 1.1,
      ry * 1.1,
      leaves,
      ID.vegetation,
    );
  }
  stage.inShade = false;
}

/** A low shrub. */
export function shrub(stage: Stage, look: Look, random: Random, x: number, y: number, z: number): void {
  const dark = look.palette.leafDark();
  const r = random.range(0.4, 1.1);
  const leaves: Paint = {
    ...foliage(dark, look.palette.leafLight(dark), look.textures.leaf, look.textures.leafContrast, r),
    cutout: { shape: 'crown', radiusU: r * 1.2, radiusV: r, detail: 9 },
  };
  disc(stage, x, y + r * 0.55, z, r * 1.3, r * 1.1, leaves, ID.vegetation);
}
