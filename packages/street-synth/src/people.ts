// People on foot, cyclists and motorcyclists, and the bicycles and motorcycles themselves.
import { hsv, type Rgb, scale } from './color.js';
import type { Look } from './domains.js';
import { plain } from './paint.js';
import { bar, board, disc, ID } from './primitives.js';
import type { Random } from './random.js';
import { CAST, CONTACT, type Stage } from './stage.js';

/** Lifts the parts in front over those behind, all at the same distance. */
function layer(index: number): number {
  return 1 + index * 0.0004;
}

function standShadow(stage: Stage, x: number, z: number, halfWidth: number, height: number): void {
  stage.shadowOnGround(
    [x - halfWidth, z - 0.15, x + halfWidth, z - 0.15, x + halfWidth, z + 0.2, x - halfWidth, z + 0.2],
    CONTACT,
  );
  const reach = stage.inShade ? undefined : stage.shadowReach(height);
  if (reach === undefined) return;
  const w = halfWidth * 0.7;
  stage.shadowOnGround(
    [x - w, z, x + w, z, x + w + reach.dx, z + reach.dz, x - w + reach.dx, z + reach.dz],
    CAST,
  );
}

/** Someone standing or walking at (x, z) on ground of height y. */
export function person(stage: Stage, look: Look, random: Random, x: number, y: number, z: number): void {
  const id = ID.person;
  const h = random.chance(0.1) ? random.range(1.05, 1.4) : random.range(1.58, 1.92);
  const wide = random.range(0.9, 1.25);
  standShadow(stage, x, z, 0.25, h);
  const skin = plain(look.palette.skin());
  const top = plain(look.palette.cloth(), 0.12, 12);
  const legs = plain(scale(look.palette.cloth(), 0.75), 0.1, 12);
  const shoes = plain([0.1, 0.09, 0.09]);
  const hair = plain(hsv(0.07, random.range(0.1, 0.6), random.range(0.06, 0.45)));
  const stride = random.range(-0.2, 0.2) * h * 0.8;
  const hip = h * 0.49;
  const bareLegs = random.chance(0.15);
  for (const side of [-1, 1] as const) {
    const foot = x + side * (0.08 * wide) + side * stride;
    bar(
      stage,
      [x + side * 0.085 * wide, y + hip],
      [foot, y + 0.06],
      z,
      0.15 * wide,
      bareLegs ? skin : legs,
      id,
      layer(1),
    );
    bar(stage, [foot - 0.09, y + 0.04], [foot + 0.11, y + 0.04], z, 0.09, shoes, id, layer(2));
  }
  const s = 0.21 * wide;
  const coat = random.chance(0.3) ? hip * random.range(0.55, 0.8) : hip * 0.95;
  const flare = coat < hip * 0.9 ? 1.05 : 0.85;
  board(
    stage,
    x,
    y,
    z,
    [-s * 0.9, h * 0.82, -s, h * 0.78, -s * flare, coat, s * flare, coat, s, h * 0.78, s * 0.9, h * 0.82],
    top,
    id,
    layer(3),
  );
  const swing = stride * 0.8;
  for (const side of [-1, 1] as const) {
    bar(
      stage,
      [x + side * s, y + h * 0.8],
      [x + side * (s + 0.05) - side * swing * 0.5, y + h * 0.46],
      z,
      0.1 * wide,
      top,
      id,
      layer(side === 1 ? 4 : 2),
    );
    disc(
      stage,
      x + side * (s + 0.05) - side * swing * 0.5,
      y + h * 0.45,
      z,
      0.045,
      0.055,
      skin,
      id,
      layer(4),
    );
  }
  if (random.chance(0.3)) {
    // A bag on the back or at the side.
    const bx = x + random.sign() * random.range(0.05, 0.26);
    board(
      stage,
      bx,
      y + h * 0.52,
      z,
      [-0.13, 0, 0.13, 0, 0.14, 0.35, -0.14, 0.35],
      plain(look.palette.cloth()),
      id,
      layer(5),
    );
  }
  head(stage, x, y + h * 0.91, z, h * 0.066, skin, hair, id);
}

function head(
  stage: Stage,
  x: number,
  y: number,
  z: number,
  radius: number,
  skin: ReturnType<typeof plain>,
  hair: ReturnType<typeof plain>,
  id: number,
): void {
  bar(stage, [x, y - radius * 1.7], [x, y], z, radius * 1.1, skin, id, layer(5));
  disc(stage, x, y, z, radius * 0.95, radius * 1.25, skin, id, layer(6));
  disc(stage, x, y + radius * 0.5, z, radius * 1.05, radius * 0.85, hair, id, layer(7));
}

/** How far a two-wheeler is turned: 1 = seen from the side, near 0 = from behind; and which way it goes. */
export interface Turn {
  across: number;
  way: 1 | -1;
}

export function randomTurn(random: Random): Turn {
  return { across: random.chance(0.5) ? random.range(0.75, 1) : random.range(0.28, 0.6), way: random.sign() };
}

const RUBBER: Rgb = [0.09, 0.09, 0.09];

/** A bicycle at (x, z), with its rider or parked. */
export function bicycle(
  stage: Stage,
  look: Look,
  random: Random,
  x: number,
  y: number,
  z: number,
  turn: Turn,
  ridden: boolean,
): void {
  const id = ID.bicycle;
  const q = turn.across * turn.way;
  const r = 0.34;
  standShadow(stage, x, z, 0.75 * turn.across, 1);
  const frame = plain(
    random.chance(0.5)
      ? hsv(random.range(0, 1), random.range(0.2, 0.8), random.range(0.2, 0.8))
      : look.palette.metal(),
  );
  const rubber = plain(RUBBER);
  const back = x - 0.53 * q;
  const front = x + 0.53 * q;
  const wheelWidth = Math.max(0.06, r * turn.across);
  for (const hub of [back, front]) {
    const open = turn.across > 0.5;
    const tyre = open ? { ...rubber, cutout: { shape: 'spokes' as const, radius: r * turn.across } } : rubber;
    disc(stage, hub, y + r, z, wheelWidth, r, tyre, id, layer(1));
  }
  const at = (dx: number, dy: number): [number, number] => [x + dx * q, y + dy];
  const crank = at(-0.08, 0.3);
  const saddle = at(-0.24, 0.88);
  const steering = at(0.38, 0.86);
  const tube = 0.065;
  bar(stage, at(-0.53, r), crank, z, tube, frame, id, layer(2));
  bar(stage, crank, saddle, z, tube, frame, id, layer(2));
  bar(stage, crank, steering, z, tube, frame, id, layer(2));
  bar(stage, at(-0.2, 0.74), at(0.4, 0.76), z, tube, frame, id, layer(2));
  bar(stage, at(0.53, r), at(0.36, 0.98), z, tube, frame, id, layer(2));
  bar(stage, at(-0.53, r), at(-0.22, 0.72), z, tube * 0.8, frame, id, layer(2));
  bar(
    stage,
    [saddle[0] - 0.13, saddle[1] + 0.03],
    [saddle[0] + 0.13, saddle[1] + 0.03],
    z,
    0.08,
    rubber,
    id,
    layer(3),
  );
  const grip = at(0.34, 1.02);
  const spread = 0.1 + 0.2 * (1 - turn.across);
  bar(stage, [grip[0] - spread, grip[1]], [grip[0] + spread, grip[1]], z, 0.06, rubber, id, layer(3));
  if (random.chance(0.3))
    board(
      stage,
      x - 0.5 * q,
      y + 0.62,
      z,
      [-0.16, 0, 0.16, 0, 0.18, 0.24, -0.18, 0.24],
      plain(look.palette.cloth()),
      id,
      layer(3),
    );
  if (!ridden) return;
  const lean = random.range(0.1, 0.35);
  rider(stage, look, random, z, turn, {
    hip: [saddle[0], saddle[1] + 0.06],
    shoulder: [saddle[0] + lean * q, saddle[1] + 0.58],
    grip,
    foot: at(random.range(-0.2, 0.05), random.range(0.12, 0.42)),
    knee: at(0.12, 0.72),
    helmet: random.chance(0.5),
  });
}

/** A motorcycle or scooter at (x, z), with its rider or parked. */
export function motorcycle(
  stage: Stage,
  look: Look,
  random: Random,
  x: number,
  y: number,
  z: number,
  turn: Turn,
  ridden: boolean,
): void {
  const id = ID.motorcycle;
  const q = turn.across * turn.way;
  const r = 0.32;
  standShadow(stage, x, z, 0.9 * turn.across + 0.15, 1);
  const paint = plain(look.palette.car(), 0.06, 3);
  const dark = plain([0.12, 0.12, 0.13], 0.2, 10);
  const rubber = plain(RUBBER);
  const wheelWidth = Math.max(0.11, r * turn.across);
  for (const dx of [-0.66, 0.7]) {
    disc(stage, x + dx * q, y + r, z, wheelWidth, r, rubber, id, layer(1));
    disc(stage, x + dx * q, y + r, z, wheelWidth * 0.5, r * 0.5, plain([0.45, 0.45, 0.47]), id, layer(2));
  }
  const shape = (outline: readonly number[]) =>
    outline.map((value, i) => (i % 2 === 0 ? value * Math.max(0.35, turn.across) * turn.way : value));
  board(
    stage,
    x,
    y,
    z,
    shape([-0.45, 0.22, 0.3, 0.22, 0.42, 0.5, 0.3, 0.68, -0.4, 0.68]),
    dark,
    id,
    layer(3),
  );
  board(
    stage,
    x,
    y,
    z,
    shape([-0.1, 0.62, 0.38, 0.58, 0.5, 0.85, 0.2, 0.98, -0.1, 0.86]),
    paint,
    id,
    layer(4),
  );
  board(
    stage,
    x,
    y,
    z,
    shape([-0.95, 0.74, -0.75, 0.62, -0.05, 0.66, -0.05, 0.84, -0.8, 0.88]),
    random.chance(0.5) ? paint : dark,
    id,
    layer(4),
  );
  const at = (dx: number, dy: number): [number, number] => [x + dx * q, y + dy];
  bar(stage, at(0.7, r), at(0.42, 1), z, 0.09, dark, id, layer(2));
  const grip = at(0.36, 1.05);
  const spread = 0.1 + 0.28 * (1 - turn.across);
  bar(stage, [grip[0] - spread, grip[1]], [grip[0] + spread, grip[1]], z, 0.07, dark, id, layer(5));
  disc(stage, x + 0.55 * q, y + 0.84, z, 0.1, 0.1, plain(HEADLAMP), id, layer(5));
  disc(stage, x - 0.93 * q, y + 0.72, z, 0.08, 0.06, plain([0.8, 0.08, 0.06]), id, layer(5));
  if (!ridden) return;
  rider(stage, look, random, z, turn, {
    hip: at(-0.3, 0.88),
    shoulder: at(-0.12 + random.range(0, 0.2), 1.42),
    grip,
    foot: at(0.05, 0.32),
    knee: at(0.18, 0.74),
    helmet: true,
  });
}

const HEADLAMP: Rgb = [0.95, 0.93, 0.85];

interface Pose {
  hip: [number, number];
  shoulder: [number, number];
  grip: [number, number];
  foot: [number, number];
  knee: [number, number];
  helmet: boolean;
}

function rider(stage: Stage, look: Look, random: Random, z: number, turn: Turn, pose: Pose): void {
  const id = ID.rider;
  const top = plain(look.palette.cloth(), 0.12, 12);
  const legs = plain(scale(look.palette.cloth(), 0.75), 0.1, 12);
  const skin = plain(look.palette.skin());
  const width = 0.27 + 0.14 * (1 - turn.across);
  // From behind both legs show, one on each side.
  const apart = 0.14 * (1 - turn.across);
  for (const side of apart > 0.04 ? ([-1, 1] as const) : ([0] as const)) {
    const dx = side * apart;
    bar(
      stage,
      [pose.hip[0] + dx, pose.hip[1]],
      [pose.knee[0] + dx, pose.knee[1]],
      z,
      0.18,
      legs,
      id,
      layer(8),
    );
    bar(
      stage,
      [pose.knee[0] + dx, pose.knee[1]],
      [pose.foot[0] + dx, pose.foot[1]],
      z,
      0.13,
      legs,
      id,
      layer(8),
    );
    bar(
      stage,
      [pose.foot[0] + dx - 0.1, pose.foot[1]],
      [pose.foot[0] + dx + 0.12, pose.foot[1]],
      z,
      0.09,
      plain(RUBBER),
      id,
      layer(9),
    );
  }
  bar(stage, pose.hip, pose.shoulder, z, width, top, id, layer(10));
  disc(stage, pose.shoulder[0], pose.shoulder[1] - 0.03, z, width * 0.56, 0.12, top, id, layer(10));
  for (const side of apart > 0.04 ? ([-1, 1] as const) : ([0] as const)) {
    bar(
      stage,
      [pose.shoulder[0] + side * width * 0.5, pose.shoulder[1] - 0.05],
      [pose.grip[0] + side * apart * 1.4, pose.grip[1]],
      z,
      0.1,
      top,
      id,
      layer(11),
    );
  }
  const x = pose.shoulder[0] + 0.06 * turn.across * turn.way;
  const y = pose.shoulder[1] + 0.24;
  disc(stage, x, y - 0.02, z, 0.11, 0.15, skin, id, layer(12));
  const cover = pose.helmet ? plain(look.palette.car()) : plain(hsv(0.07, 0.4, random.range(0.08, 0.4)));
  disc(stage, x, y + 0.05, z, 0.13, pose.helmet ? 0.13 : 0.11, cover, id, layer(13));
}
