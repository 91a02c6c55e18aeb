// What stands along the kerb: lamp posts, traffic lights, signs, bollards, bins and benches.
import { hsv, type Rgb } from './color.js';
import type { Country, Look } from './domains.js';
import { plain, stripes } from './paint.js';
import { bar, board, box, disc, frameAt, ID } from './primitives.js';
import type { Random } from './random.js';
import { CAST, type Stage } from './stage.js';

/** An upright post; it is drawn at least a pixel wide as far as 40 m away. */
function post(
  stage: Stage,
  x: number,
  y: number,
  z: number,
  height: number,
  width: number,
  color: Rgb,
): void {
  const seen = Math.max(width, Math.min(z, 40) * (2 / stage.f));
  board(
    stage,
    x,
    y,
    z,
    [-seen / 2, 0, seen / 2, 0, seen / 2, height, -seen / 2, height],
    plain(color, 0.1, 8),
    ID.pole,
  );
  const reach = stage.inShade ? undefined : stage.shadowReach(height);
  if (reach !== undefined) {
    stage.shadowOnGround(
      [x - width, z, x + width, z, x + width + reach.dx, z + reach.dz, x - width + reach.dx, z + reach.dz],
      CAST,
    );
  }
}

/** @param inward direction towards the road: -1 or 1 */
export function lampPost(
  stage: Stage,
  look: Look,
  random: Random,
  x: number,
  y: number,
  z: number,
  inward: number,
): void {
  const color = look.palette.metal();
  const height = random.range(5.5, 9);
  post(stage, x, y, z, height, random.range(0.13, 0.2), color);
  const length = random.range(0.8, 2.2);
  const end: [number, number] = [x + inward * length, y + height + random.range(0, 0.5)];
  bar(stage, [x, y + height], end, z, Math.max(0.09, z * (1.4 / stage.f)), plain(color), ID.pole);
  board(
    stage,
    end[0],
    end[1] - 0.1,
    z,
    [-0.4, -0.05, 0.4, -0.05, 0.35, 0.12, -0.35, 0.12],
    plain([0.75, 0.75, 0.72]),
    ID.pole,
    1.001,
  );
}

/** A post of a line or a gantry without anything on it. */
export function utilityPole(stage: Stage, look: Look, random: Random, x: number, y: number, z: number): void {
  const height = random.range(7, 10);
  post(stage, x, y, z, height, 0.26, look.palette.bark);
  bar(
    stage,
    [x - 1.1, y + height - 0.7],
    [x + 1.1, y + height - 0.7],
    z,
    0.14,
    plain(look.palette.bark),
    ID.pole,
  );
}

export function bollard(stage: Stage, look: Look, x: number, y: number, z: number): void {
  post(stage, x, y, z, 0.95, 0.14, look.palette.metal());
}

/** A signal of three lamps at the height of its centre. */
function signalHead(stage: Stage, random: Random, country: Country, x: number, y: number, z: number): void {
  const housing =
    country === 'source' && random.chance(0.6) ? hsv(0.13, 0.75, 0.7) : hsv(0, 0, random.range(0.07, 0.16));
  board(
    stage,
    x,
    y,
    z,
    [-0.2, -0.55, 0.2, -0.55, 0.2, 0.55, -0.2, 0.55],
    plain(housing),
    ID.trafficLight,
    1.002,
  );
  const on = random.int(0, 2);
  const colors: readonly Rgb[] = [
    [1.3, 0.18, 0.12],
    [1.3, 0.85, 0.15],
    [0.2, 1.25, 0.55],
  ];
  for (let i = 0; i < 3; i++) {
    const lamp = colors[i]!;
    const color: Rgb = i === on ? lamp : [lamp[0] * 0.14, lamp[1] * 0.14, lamp[2] * 0.14];
    disc(stage, x, y + 0.35 - 0.35 * i, z, 0.13, 0.14, plain(color), ID.trafficLight, 1.003);
  }
}

/** @param arm whether a second signal hangs over the road */
export function trafficLight(
  stage: Stage,
  look: Look,
  random: Random,
  country: Country,
  x: number,
  y: number,
  z: number,
  inward: number,
  arm: boolean,
): void {
  const color = look.palette.metal();
  const height = arm ? random.range(5.3, 6) : 3.4;
  post(stage, x, y, z, height, 0.16, color);
  signalHead(stage, random, country, x + inward * 0.18, y + 2.9, z);
  if (!arm) return;
  const length = random.range(2.5, 4.5);
  bar(stage, [x, y + height - 0.1], [x + inward * length, y + height], z, 0.12, plain(color), ID.pole);
  signalHead(stage, random, country, x + inward * length, y + height - 0.5, z);
}

const RED: Rgb = [0.8, 0.1, 0.1];
const WHITE: Rgb = [0.93, 0.93, 0.92];
const BLUE: Rgb = [0.1, 0.26, 0.66];
const YELLOW: Rgb = [0.93, 0.75, 0.12];
const GREEN: Rgb = [0.06, 0.42, 0.24];

function ring(radius: number, corners: number, turn: number): number[] {
  const outline: number[] = [];
  for (let i = 0; i < corners; i++) {
    const angle = turn + (2 * Math.PI * i) / corners;
    outline.push(radius * Math.cos(angle), radius * Math.sin(angle));
  }
  return outline;
}

function plateOutline(width: number, height: number): number[] {
  return [-width / 2, -height / 2, width / 2, -height / 2, width / 2, height / 2, -width / 2, height / 2];
}

/** One or two traffic signs on a post. The source's are more often American, the target's European. */
export function trafficSign(
  stage: Stage,
  look: Look,
  random: Random,
  country: Country,
  x: number,
  y: number,
  z: number,
): void {
  const height = random.range(2.3, 3);
  post(stage, x, y, z, height, 0.08, look.palette.metal());
  const american = random.chance(country === 'source' ? 0.6 : 0.05);
  let at = height;
  for (let i = random.int(1, 2); i > 0; i--) {
    at -= signPlate(stage, random, american, x, y + at, z);
  }
}

/** Draws a sign that hangs from (x, top); returns its height. */
function signPlate(
  stage: Stage,
  random: Random,
  american: boolean,
  x: number,
  top: number,
  z: number,
): number {
  const id = ID.trafficSign;
  const r = random.range(0.36, 0.46);
  const layers = (outline: (scale: number) => number[], outer: Rgb, inner: Rgb, drop = r) => {
    board(stage, x, top - drop, z, outline(1), plain(outer), id, 1.002);
    board(stage, x, top - drop, z, outline(0.74), plain(inner), id, 1.003);
  };
  const shape = american
    ? random.weighted({ stop: 1, diamond: 2, guide: 2, limit: 2 })
    : random.weighted({ round: 4, triangle: 2, blue: 3, panel: 1, priority: 1 });
  switch (shape) {
    case 'stop':
      layers((s) => ring(r * s, 8, Math.PI / 8), WHITE, RED);
      board(stage, x, top - r, z, plateOutline(r * 1.1, r * 0.35), plain(WHITE), id, 1.004);
      return 2 * r;
    case 'diamond':
      layers((s) => ring(r * 1.15 * s, 4, 0), YELLOW, [0.9, 0.7, 0.1]);
      bar(stage, [x, top - r * 1.5], [x, top - r * 0.7], z, 0.1, plain([0.1, 0.1, 0.1]), id, 1.004);
      return 2.3 * r;
    case 'guide':
      layers((s) => plateOutline(2.6 * r * s, 1.1 * r * s), WHITE, GREEN, 0.55 * r);
      return 1.15 * r;
    case 'limit':
      layers((s) => plateOutline(1.3 * r * s, 1.7 * r * s), [0.2, 0.2, 0.2], WHITE, 0.85 * r);
      bar(stage, [x - 0.12, top - r], [x + 0.12, top - r], z, 0.2, plain([0.15, 0.15, 0.15]), id, 1.004);
      return 1.8 * r;
    case 'round':
      layers((s) => ring(r * s, 14, 0), RED, random.chance(0.3) ? BLUE : WHITE);
      bar(
        stage,
        [x - r * 0.35, top - r],
        [x + r * 0.35, top - r],
        z,
        r * 0.35,
        plain(random.chance(0.5) ? [0.12, 0.12, 0.12] : WHITE),
        id,
        1.004,
      );
      return 2 * r;
    case 'triangle':
      layers((s) => ring(r * 1.2 * s, 3, Math.PI / 2), RED, WHITE, 1.1 * r);
      bar(stage, [x, top - r * 1.3], [x, top - r * 0.9], z, 0.1, plain([0.12, 0.12, 0.12]), id, 1.004);
      return 1.9 * r;
    case 'blue':
      if (random.chance(0.5)) layers((s) => ring(r * s, 14, 0), WHITE, BLUE);
      else layers((s) => plateOutline(1.7 * r * s, 1.9 * r * s), WHITE, BLUE);
      bar(stage, [x, top - r * 1.35], [x, top - r * 0.6], z, 0.12, plain(WHITE), id, 1.004);
      return 2 * r;
    case 'panel':
      layers((s) => plateOutline(3 * r * s, 1.2 * r * s), WHITE, random.pick([BLUE, YELLOW, WHITE]), 0.6 * r);
      return 1.3 * r;
    case 'priority':
      layers((s) => ring(r * 1.1 * s, 4, 0), WHITE, YELLOW);
      return 2.2 * r;
  }
}

/** A frame over the whole road with large signs. */
export function gantry(
  stage: Stage,
  look: Look,
  random: Random,
  left: number,
  right: number,
  z: number,
): void {
  const color = look.palette.metal();
  post(stage, left, 0, z, 6.9, 0.32, color);
  post(stage, right, 0, z, 6.9, 0.32, color);
  bar(stage, [left, 6.4], [right, 6.4], z, 0.35, plain(color, 0.3, 3), ID.pole);
  const board1 = random.pick([GREEN, BLUE]);
  for (let x = left + 2; x + 4 < right; x += random.range(4.5, 7)) {
    const width = random.range(2.6, 4.2);
    board(stage, x, 5.2, z, [0, 0, width, 0, width, 2, 0, 2], plain(WHITE), ID.trafficSign, 1.002);
    board(
      stage,
      x,
      5.2,
      z,
      [0.1, 0.1, width - 0.1, 0.1, width - 0.1, 1.9, 0.1, 1.9],
      plain(board1),
      ID.trafficSign,
      1.003,
    );
    bar(stage, [x + 0.4, 6.5], [x + width * 0.8, 6.5], z, 0.3, plain(WHITE), ID.trafficSign, 1.004);
    bar(stage, [x + 0.4, 5.8], [x + width * 0.6, 5.8], z, 0.3, plain(WHITE), ID.trafficSign, 1.004);
  }
}

/** Things Cityscapes calls static: bins, boxes, benches; it does not train on them. */
export function clutter(stage: Stage, look: Look, random: Random, x: number, y: number, z: number): void {
  const frame = frameAt(x, z, random.range(-0.2, 0.2), y);
  switch (random.weighted({ bin: 3, cabinet: 2, bench: 2, bags: 1, barrier: 1 })) {
    case 'bin': {
      const paint = plain(look.palette.car(), 0.1, 5);
      box(
        stage,
        frame,
        { x0: -0.28, x1: 0.28, y0: 0.05, y1: random.range(0.85, 1.15), z0: -0.3, z1: 0.3 },
        ID.static,
        paint,
      );
      return;
    }
    case 'cabinet':
      box(
        stage,
        frame,
        { x0: -0.45, x1: 0.45, y0: 0, y1: 1.25, z0: -0.2, z1: 0.2 },
        ID.static,
        plain(look.palette.metal(), 0.08, 4),
      );
      return;
    case 'bench':
      box(
        stage,
        frame,
        { x0: -0.25, x1: 0.25, y0: 0.35, y1: 0.47, z0: -0.8, z1: 0.8 },
        ID.static,
        plain(look.palette.bark, 0.2, 6),
      );
      box(
        stage,
        frame,
        { x0: -0.28, x1: -0.2, y0: 0.4, y1: 0.9, z0: -0.8, z1: 0.8 },
        ID.static,
        plain(look.palette.bark, 0.2, 6),
      );
      return;
    case 'bags':
      disc(stage, x, y + 0.3, z, 0.4, 0.32, plain([0.12, 0.12, 0.14], 0.3, 9), ID.dynamic);
      disc(stage, x + 0.45, y + 0.24, z, 0.32, 0.26, plain([0.16, 0.16, 0.18], 0.3, 9), ID.dynamic, 1.001);
      return;
    case 'barrier':
      board(
        stage,
        x,
        y,
        z,
        [-0.8, 0.5, 0.8, 0.5, 0.8, 0.95, -0.8, 0.95],
        stripes(RED, WHITE, 0.4),
        ID.static,
      );
      bar(stage, [x - 0.7, y], [x - 0.7, y + 0.6], z, 0.1, plain(WHITE), ID.static);
      bar(stage, [x + 0.7, y], [x + 0.7, y + 0.6], z, 0.1, plain(WHITE), ID.static);
      return;
  }
}
