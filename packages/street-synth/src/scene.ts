// The plan of one street: its cross-section and what is put where along it.
import { scale } from './color.js';
import {
  type Country,
  type Domain,
  type Look,
  STATISTICS,
  type Statistics,
  type StreetType,
} from './domains.js';
import { bollard, clutter, gantry, lampPost, trafficLight, trafficSign, utilityPole } from './furniture.js';
import { asphalt, foliage, type LaneLine, type Paint, paving, plain, stripes } from './paint.js';
import { bicycle, motorcycle, person, randomTurn } from './people.js';
import { box, frameAt, ID } from './primitives.js';
import type { Random } from './random.js';
import { building, fence, hedge, type Lot, type Side, shrub, tree, wall } from './roadside.js';
import type { Stage } from './stage.js';
import { bus, car, tram, truck } from './vehicles.js';

/** The ground begins a little before the lowest image row and ends in the haze. */
const GROUND_FROM = 0.8;
const GROUND_TO = 260;
/** Houses and trees end here; a skyline stands behind. */
const STREET_TO = 150;
const KERB = 0.13;

/** One side of the cross-section: lateral distances from the road's middle line, all positive. */
interface Flank {
  side: Side;
  /** Outer edge of the driving lanes, of the parking strip, of the footway and of the verge. */
  lanes: number;
  road: number;
  footway: number;
  front: number;
  /** Whether cars park along the kerb. */
  parking: boolean;
}

interface Plan {
  type: StreetType;
  laneWidth: number;
  /** Lanes in each direction, and half the width of the strip between the directions. */
  lanes: number;
  median: number;
  flanks: readonly [Flank, Flank];
  /** The side street, if there is one. */
  crossing: { from: number; to: number; marked: boolean } | undefined;
  /** Lateral position of the tram track's middle, if there is one. */
  track: number | undefined;
}

/** What is taken already, so that vehicles do not stand in each other. */
interface Taken {
  x: number;
  from: number;
  to: number;
}

interface World {
  stage: Stage;
  look: Look;
  random: Random;
  country: Country;
  statistics: Statistics;
  plan: Plan;
  taken: Taken[];
}

/** Draws a whole scene on the stage. The camera is put in a lane. */
export function composeScene(stage: Stage, look: Look, random: Random, domain: Domain): void {
  const statistics = STATISTICS[domain];
  const plan = makePlan(random, statistics);
  const lane = random.int(0, plan.lanes - 1);
  stage.camera.x = plan.median + plan.laneWidth * (lane + 0.5) + random.range(-0.3, 0.3);
  const country = domain === 'varied' ? random.pick(['source', 'target'] as const) : domain;
  const world: World = { stage, look, random, country, statistics, plan, taken: [] };
  ground(world);
  for (const flank of plan.flanks) frontage(world, flank);
  skyline(world);
  for (const flank of plan.flanks) kerbside(world, flank);
  middle(world);
  traffic(world);
  people(world);
  stage.finish();
}

function makePlan(random: Random, statistics: Statistics): Plan {
  const type = random.weighted(statistics.streets);
  const laneWidth = (type === 'highway' ? 3.6 : random.range(2.9, 3.5)) * statistics.streetWidth;
  const lanes = { avenue: random.int(2, 3), street: 1, suburb: 1, highway: random.int(2, 3) }[type];
  const median =
    type === 'highway'
      ? random.range(0.8, 2)
      : type === 'avenue' && random.chance(0.25)
        ? random.range(0.8, 1.8)
        : 0;
  const flank = (side: Side): Flank => {
    const parking = type !== 'highway' && random.chance({ avenue: 0.5, street: 0.85, suburb: 0.5 }[type]);
    const edge = median + lanes * laneWidth;
    const road = edge + (parking ? 2.1 : type === 'highway' ? 1.2 : 0.25);
    const wide = statistics.streetWidth;
    const footway =
      road +
      {
        avenue: random.range(3.2, 5.5) * wide,
        street: random.range(2.2, 4) * wide,
        suburb: random.chance(0.8) ? random.range(1.4, 2.2) : 0,
        highway: 0,
      }[type];
    const verge = {
      avenue: 0,
      street: random.chance(0.15) ? 1.5 : 0,
      suburb: random.range(1.5, 5),
      highway: random.range(2.5, 8),
    }[type];
    return { side, lanes: edge, road, footway, front: footway + verge, parking };
  };
  const from = random.range(14, 55);
  const crossing =
    type !== 'highway' && random.chance(0.55)
      ? { from, to: from + random.range(7, 13), marked: random.chance(0.6) }
      : undefined;
  const track =
    type !== 'highway' && random.chance(statistics.tram)
      ? laneWidth * random.pick([-0.5, 0.5]) + (median > 0 ? random.sign() * median : 0)
      : undefined;
  return { type, laneWidth, lanes, median, flanks: [flank(-1), flank(1)], crossing, track };
}

const UP: readonly [number, number, number] = [0, 1, 0];

/** A level strip from x0 to x1, cut into pieces so that it follows the bend. */
function strip(
  stage: Stage,
  x0: number,
  x1: number,
  y: number,
  paint: Paint,
  labelId: number,
  from: number,
  to: number,
  bias = 1,
): void {
  if (x1 <= x0) return;
  const surface = stage.surface(paint, labelId, UP, true);
  const breaks = [from];
  for (let z = 3; z < to; z *= 1.45) if (z > from) breaks.push(z);
  breaks.push(to);
  for (let i = 0; i + 1 < breaks.length; i++) {
    const a = breaks[i]!;
    const b = breaks[i + 1]!;
    stage.polygon([x0, y, a, x0, a, x1, y, a, x1, a, x1, y, b, x1, b, x0, y, b, x0, b], surface, bias);
  }
}

function ground(world: World): void {
  const { stage, look, random, plan, country } = world;
  const { palette, textures } = look;
  const [left, right] = plan.flanks;
  const grass = (): Paint =>
    random.chance(0.8)
      ? foliage(palette.grassDark, palette.grassLight, 7, 1.2, 0)
      : foliage(scale(palette.earth, 0.7), palette.earth, 6, 1.1, 0);
  const slabs = paving(palette.pavement, 0.1, textures.slab, textures.pavingJoint);
  const open = plan.type === 'suburb' || plan.type === 'highway';
  // The land behind the fronts.
  const far = GROUND_TO;
  strip(
    stage,
    -250,
    -left.road,
    open ? 0 : -0.02,
    open ? grass() : slabs,
    open ? ID.terrain : ID.sidewalk,
    GROUND_FROM,
    far,
  );
  strip(
    stage,
    right.road,
    250,
    open ? 0 : -0.02,
    open ? grass() : slabs,
    open ? ID.terrain : ID.sidewalk,
    GROUND_FROM,
    far,
  );
  const road = asphalt(
    palette.road,
    palette.paint,
    palette.yellowPaint,
    textures.roadGrain,
    textures.roadPatches,
    laneLines(world),
  );
  strip(stage, -left.road, right.road, 0, road, ID.road, GROUND_FROM, far);
  for (const flank of plan.flanks) {
    footway(world, flank, slabs, grass());
    if (flank.parking && random.chance(0.15)) {
      const bays = asphalt(
        scale(palette.road, 1.12),
        palette.paint,
        palette.yellowPaint,
        textures.roadGrain,
        textures.roadPatches,
        [],
      );
      const [a, b] = flank.side === 1 ? [flank.lanes, flank.road] : [-flank.road, -flank.lanes];
      for (const [from, to] of beyondCrossing(plan))
        strip(stage, a, b, 0.005, bays, ID.parking, from, to, 1.002);
    }
  }
  if (plan.median > 0) {
    const m = plan.median - 0.35;
    const island = plan.type === 'highway' || random.chance(0.5) ? grass() : slabs;
    const labelId = island === slabs ? ID.sidewalk : ID.terrain;
    for (const [from, to] of beyondCrossing(plan)) strip(stage, -m, m, KERB, island, labelId, from, to);
  }
  if (plan.crossing !== undefined) sideStreet(world, plan.crossing);
  if (plan.track !== undefined) track(world, plan.track, country === 'target' && random.chance(0.25));
}

/** The stretches of the street that a side street leaves, as [from, to]. */
function beyondCrossing(plan: Plan): readonly (readonly [number, number])[] {
  const { crossing } = plan;
  if (crossing === undefined) return [[GROUND_FROM, GROUND_TO]];
  return [
    [GROUND_FROM, crossing.from],
    [crossing.to, GROUND_TO],
  ];
}

function footway(world: World, flank: Flank, slabs: Paint, grass: Paint): void {
  const { stage, look, plan } = world;
  const { side, road, footway: outer, front } = flank;
  const between = (a: number, b: number): [number, number] => (side === 1 ? [a, b] : [-b, -a]);
  for (const [from, to] of beyondCrossing(plan)) {
    if (outer > road) {
      const [a, b] = between(road, outer);
      strip(stage, a, b, KERB, slabs, ID.sidewalk, from, to);
      const x = side * road;
      const kerb = stage.surface(plain(look.palette.kerb, 0.08, 5), ID.sidewalk, [-side, 0, 0]);
      for (let z = from; z < to; z += Math.max(4, z * 0.4)) {
        const end = Math.min(to, z + Math.max(4, z * 0.4));
        stage.polygon([x, 0, z, z, 0, x, 0, end, end, 0, x, KERB, end, end, KERB, x, KERB, z, z, KERB], kerb);
      }
    }
    if (front > outer) {
      const [a, b] = between(outer, front + 30);
      strip(stage, a, b, 0.06, grass, ID.terrain, from, to);
    }
  }
}

function laneLines(world: World): LaneLine[] {
  const { plan, country, random } = world;
  const lines: LaneLine[] = [];
  const line = (x: number, halfWidth: number, dashed: boolean, yellow = false) =>
    lines.push({ x, halfWidth, period: dashed ? 9 : 0, dash: 4, yellow });
  const yellow = country === 'source' && random.chance(0.7);
  if (plan.median > 0) {
    line(plan.median - 0.1, 0.07, false, yellow);
    line(-plan.median + 0.1, 0.07, false, yellow);
  } else if (plan.type !== 'street' || random.chance(0.5)) {
    if (yellow) {
      line(-0.13, 0.06, false, true);
      line(0.13, 0.06, false, true);
    } else line(0, 0.07, random.chance(0.7));
  }
  for (const side of [-1, 1]) {
    for (let i = 1; i < plan.lanes; i++) line(side * (plan.median + i * plan.laneWidth), 0.07, true);
  }
  for (const flank of plan.flanks) {
    if (plan.type === 'highway' || random.chance(flank.parking ? 0.4 : 0.2))
      line(flank.side * (flank.lanes - 0.1), 0.06, false);
  }
  return lines;
}

function sideStreet(world: World, crossing: { from: number; to: number; marked: boolean }): void {
  const { stage, look, plan, random } = world;
  const { palette, textures } = look;
  const [left, right] = plan.flanks;
  const road = asphalt(
    palette.road,
    palette.paint,
    palette.yellowPaint,
    textures.roadGrain,
    textures.roadPatches,
    [],
  );
  const surface = stage.surface(road, ID.road, UP, true);
  const { from, to } = crossing;
  const slab = (x0: number, x1: number) =>
    stage.polygon(
      [x0, 0.01, from, x0, from, x1, 0.01, from, x1, from, x1, 0.01, to, x1, to, x0, 0.01, to, x0, to],
      surface,
      1.003,
    );
  slab(-120, -left.road);
  slab(right.road, 120);
  if (crossing.marked) {
    const bars = stripes(palette.paint, palette.road, 1.1);
    strip(stage, -left.road, right.road, 0.01, bars, ID.road, from - 3.6, from - 0.8, 1.002);
    strip(stage, -left.road, right.road, 0.01, bars, ID.road, to + 0.8, to + 3.4, 1.002);
  }
  if (random.chance(0.6)) {
    const z = from - (crossing.marked ? 5.2 : 2);
    strip(stage, plan.median, right.lanes, 0.01, plain(palette.paint, 0.2, 6), ID.road, z, z + 0.45, 1.002);
  }
}

/** Rails in the road, or on a track bed of its own, which Cityscapes labels `rail track`. */
function track(world: World, x: number, ownBed: boolean): void {
  const { stage, look } = world;
  if (ownBed) {
    strip(
      stage,
      x - 1.35,
      x + 1.35,
      0.01,
      plain(scale(look.palette.earth, 0.9), 0.3, 9),
      ID.railTrack,
      GROUND_FROM,
      GROUND_TO,
      1.002,
    );
  }
  const labelId = ownBed ? ID.railTrack : ID.road;
  const rail = plain(scale(look.palette.kerb, 0.45), 0.1, 4);
  for (const offset of [-0.72, 0.72]) {
    strip(stage, x + offset - 0.07, x + offset + 0.07, 0.015, rail, labelId, GROUND_FROM, GROUND_TO, 1.003);
  }
}

type LotKind = 'building' | 'wall' | 'fence' | 'hedge' | 'trees';

const LOTS: Readonly<Record<StreetType, Readonly<Record<LotKind, number>>>> = {
  avenue: { building: 20, wall: 0.8, fence: 1.2, hedge: 0.6, trees: 1 },
  street: { building: 13, wall: 1, fence: 1.6, hedge: 1, trees: 1 },
  suburb: { building: 5, wall: 1.2, fence: 2, hedge: 2, trees: 3 },
  highway: { building: 1.5, wall: 2.2, fence: 1.6, hedge: 0.8, trees: 5 },
};

/** Fills the front of one side with lots from near to far. */
function frontage(world: World, flank: Flank): void {
  const { random, plan } = world;
  let z = random.range(-14, -4);
  while (z < STREET_TO) {
    const { crossing } = plan;
    if (crossing !== undefined && z >= crossing.from - 3.5 && z < crossing.to + 2.5) {
      z = crossing.to + 2.5;
      continue;
    }
    const kind = random.weighted(LOTS[plan.type]);
    let end = z + (kind === 'building' ? random.range(9, 22) : random.range(8, 26));
    if (crossing !== undefined && z < crossing.from)
      end = Math.min(end, Math.max(z + 2, crossing.from - 2.5));
    lot(world, flank, { side: flank.side, x: flank.front + 0.05, z0: z, z1: end }, kind);
    z =
      end +
      (kind === 'building' && (plan.type === 'suburb' || random.chance(0.1)) ? random.range(1.5, 5) : 0);
  }
}

function lot(world: World, flank: Flank, place: Lot, kind: LotKind): void {
  const { stage, look, random, plan, statistics } = world;
  switch (kind) {
    case 'building': {
      const tall = plan.type === 'avenue' && random.chance(statistics.tall);
      const small = plan.type === 'suburb';
      const range = tall ? statistics.tallStoreys : small ? ([1, 2] as const) : statistics.storeys;
      const setBack = small ? random.range(2, 7) : random.chance(0.15) ? random.range(0.3, 1.5) : 0;
      building(
        stage,
        look,
        random,
        { ...place, x: place.x + setBack },
        {
          storeys: random.int(range[0], range[1]),
          curtainWall: tall && random.chance(statistics.curtainWall),
          depth: random.range(9, 16),
        },
      );
      if (small) {
        const border = random.weighted({ fence: 2, hedge: 2, none: 2 });
        if (border === 'fence') fence(stage, look, random, place, random.range(0.8, 1.3));
        if (border === 'hedge') hedge(stage, look, place, random.range(0.7, 1.3), 0.7);
      }
      return;
    }
    case 'wall':
      wall(stage, look, random, place, plan.type === 'highway' ? random.range(2, 4) : random.range(1.2, 2.6));
      backing(world, place, 1.5);
      return;
    case 'fence':
      fence(stage, look, random, place, random.range(1, 2.1));
      if (random.chance(0.3)) fence(stage, look, random, place, random.range(1, 1.8), true);
      backing(world, place, 3);
      return;
    case 'hedge':
      hedge(stage, look, place, random.range(1.2, 2.6), 1);
      backing(world, place, 2);
      return;
    case 'trees':
      for (let z = place.z0; z < place.z1; z += random.range(2.5, 5)) {
        tree(
          stage,
          look,
          random,
          flank.side * (place.x + random.range(0.5, 6)),
          0,
          Math.max(z, 3),
          random.range(5, 10),
        );
        if (random.chance(0.6))
          shrub(stage, look, random, flank.side * (place.x + random.range(0, 2)), 0, Math.max(z + 1, 3));
      }
      backing(world, { ...place, x: place.x + 6 }, 2);
  }
}

/** What shows above a wall, fence or hedge: trees or a house further back. */
function backing(world: World, place: Lot, gap: number): void {
  const { stage, look, random, plan, statistics } = world;
  if (random.chance(plan.type === 'highway' ? 0.25 : 0.6)) {
    const tall = plan.type === 'avenue' && random.chance(statistics.tall * 0.6);
    const range = tall ? statistics.tallStoreys : statistics.storeys;
    building(
      stage,
      look,
      random,
      { ...place, x: place.x + gap + random.range(4, 12) },
      {
        storeys: random.int(range[0], range[1]),
        curtainWall: tall && random.chance(statistics.curtainWall),
        depth: 12,
      },
    );
  }
  if (!random.chance(0.75)) return;
  for (let z = place.z0; z < place.z1; z += random.range(4, 8)) {
    tree(
      stage,
      look,
      random,
      place.side * (place.x + gap + random.range(0.5, 3)),
      0,
      Math.max(z, 3),
      random.range(4.5, 9),
    );
  }
}

/** Houses and trees across the end of the street. */
function skyline(world: World): void {
  const { stage, look, random, plan, statistics } = world;
  const bend = stage.bendAt(STREET_TO + 20);
  for (let x = -130; x < 130; ) {
    const width = random.range(10, 28);
    const z = STREET_TO + random.range(10, 60);
    const shift = x - bend;
    if (random.chance(plan.type === 'avenue' || plan.type === 'street' ? 0.85 : 0.4)) {
      const tall = plan.type !== 'suburb' && random.chance(statistics.tall * 0.7);
      const storeys = tall
        ? random.int(statistics.tallStoreys[0], statistics.tallStoreys[1])
        : random.int(statistics.storeys[0], statistics.storeys[1]);
      building(
        stage,
        look,
        random,
        { side: 1, x: shift, z0: z, z1: z + 10 },
        { storeys, curtainWall: tall && random.chance(statistics.curtainWall), depth: width },
      );
    } else {
      for (let i = 0; i < 4; i++)
        tree(stage, look, random, shift + random.range(0, width), 0, z, random.range(8, 14));
    }
    x += width * random.range(0.8, 1.15);
  }
}

/** Trees, posts, signs and clutter along the kerb of one side. */
function kerbside(world: World, flank: Flank): void {
  const { stage, look, random, country, plan, statistics } = world;
  const y = flank.footway > flank.road ? KERB : 0.02;
  const x = flank.side * (flank.road + 0.45);
  const inward = -flank.side;
  const free = (z: number) =>
    plan.crossing === undefined || z < plan.crossing.from - 1 || z > plan.crossing.to + 1;
  const spread = (count: number, put: (z: number) => void) => {
    for (let i = 0; i < count; i++) {
      const z = 8 + 52 * random.range(0, 1) * random.range(0.3, 1);
      if (free(z)) put(z);
    }
  };
  if (plan.type !== 'highway' && random.chance(statistics.trees)) {
    const step = random.range(7, 14);
    for (let z = random.range(5, 16); z < 110; z += step * random.range(0.85, 1.2)) {
      if (free(z)) tree(stage, look, random, x + flank.side * 0.5, y, z, random.range(5, 8));
    }
  }
  const shaded = (z: number) => {
    stage.inShade = stage.isShaded(x, z);
  };
  if (random.chance(0.8)) {
    const step = random.range(18, 30);
    let left = statistics.lights;
    for (let z = random.range(6, 24); left > 0; z += step, left--) {
      shaded(z);
      if (free(z)) lampPost(stage, look, random, x, y, z, inward);
    }
  }
  if (random.chance(0.25)) {
    for (let z = random.range(8, 24); z < 100; z += 24)
      utilityPole(stage, look, random, x + flank.side * 1.4, y, z);
  }
  spread(random.int(0, statistics.signs), (z) => {
    shaded(z);
    trafficSign(stage, look, random, country, x + flank.side * random.range(0, 0.5), y, z);
  });
  if (plan.crossing !== undefined && random.chance(0.75)) {
    const z = plan.crossing.from - 0.6;
    shaded(z);
    trafficLight(
      stage,
      look,
      random,
      country,
      x,
      y,
      z,
      inward,
      random.chance(country === 'source' ? 0.6 : 0.3),
    );
    trafficLight(stage, look, random, country, x, y, plan.crossing.to + 1, inward, random.chance(0.3));
  }
  if (flank.footway > flank.road && random.chance(statistics.streetFurniture)) {
    spread(random.int(1, 4), (z) => {
      shaded(z);
      clutter(stage, look, random, flank.side * random.range(flank.road + 0.6, flank.footway - 0.3), y, z);
    });
    if (random.chance(0.35)) {
      const start = random.range(6, 20);
      for (let z = start; z < start + 15; z += 1.8)
        if (free(z)) bollard(stage, look, x - flank.side * 0.2, y, z);
    }
  }
  stage.inShade = false;
}

/** What stands on the strip between the directions, and over the road. */
function middle(world: World): void {
  const { stage, look, random, plan } = world;
  const [left, right] = plan.flanks;
  if (plan.type === 'highway') {
    const kind = random.weighted({ wall: 3, guardRail: 3, fence: 2, open: 2 });
    const along: Lot = { side: -1, x: -0.2, z0: 1, z1: STREET_TO };
    if (kind === 'wall') barrier(world, ID.wall, 0.9, 0.5);
    if (kind === 'guardRail') barrier(world, ID.guardRail, 0.75, 0.1);
    if (kind === 'fence') fence(stage, look, random, along, random.range(1, 1.6));
    if (random.chance(0.4))
      gantry(stage, look, random, -left.road - 0.5, right.road + 0.5, random.range(16, 45));
  } else if (plan.median > 0.6) {
    for (let z = random.range(6, 14); z < 100; z += random.range(9, 16)) {
      if (plan.crossing === undefined || z < plan.crossing.from || z > plan.crossing.to) {
        tree(stage, look, random, 0, KERB, z, random.range(4.5, 7));
      }
    }
  }
  // A bridge over the road.
  if ((plan.type === 'highway' && random.chance(0.2)) || random.chance(0.03)) {
    const z = random.range(35, 90);
    const deck = plain(scale(look.palette.kerb, random.range(0.7, 1)), 0.15, 2);
    box(stage, frameAt(0, z, 0), { x0: -90, x1: 90, y0: 5.6, y1: 7.4, z0: 0, z1: 9 }, ID.bridge, deck);
    for (const x of [-left.road - 1.5, right.road + 0.5]) {
      box(stage, frameAt(x, z, 0), { x0: 0, x1: 1, y0: 0, y1: 5.6, z0: 0, z1: 9 }, ID.bridge, deck);
    }
  }
}

/** A continuous low barrier in the middle of the road, following the bend. */
function barrier(world: World, labelId: number, height: number, width: number): void {
  const { stage, look } = world;
  const paint = plain(labelId === ID.wall ? look.palette.kerb : look.palette.metal(), 0.12, 3);
  for (let z = 1; z < STREET_TO; z += 6) {
    const y0 = labelId === ID.guardRail ? 0.4 : 0;
    box(
      stage,
      frameAt(0, z, 0),
      { x0: -width / 2, x1: width / 2, y0, y1: height, z0: 0, z1: 6 },
      labelId,
      paint,
    );
    if (y0 > 0)
      box(
        stage,
        frameAt(0, z, 0),
        { x0: -0.05, x1: 0.05, y0: 0, y1: height, z0: 0, z1: 0.15 },
        labelId,
        paint,
      );
  }
}

/** Puts a vehicle where nothing else stands; false where the place is taken. */
function place(
  world: World,
  x: number,
  z: number,
  length: number,
  heading: number,
  draw: (frame: ReturnType<typeof frameAt>) => void,
): boolean {
  const { stage, taken } = world;
  const half = length / 2 + 0.6;
  if (taken.some((t) => Math.abs(t.x - x) < 2.3 && z - half < t.to && z + half > t.from)) return false;
  taken.push({ x, from: z - half, to: z + half });
  stage.inShade = stage.isShaded(x, z);
  draw(frameAt(x, z, heading));
  stage.inShade = false;
  return true;
}

const AWAY = 0;
const ONCOMING = Math.PI;

function traffic(world: World): void {
  const { stage, look, random, plan, statistics } = world;
  // Nothing stands in the camera itself.
  world.taken.push({ x: stage.camera.x, from: -10, to: 6.5 });
  const laneAt = (i: number, way: 1 | -1) => way * (plan.median + (i + 0.5) * plan.laneWidth);
  const someLane = () => {
    const way = random.sign();
    return { x: laneAt(random.int(0, plan.lanes - 1), way), heading: way === 1 ? AWAY : ONCOMING };
  };
  if (plan.track !== undefined) {
    const x = plan.track;
    const own = Math.abs(x - stage.camera.x) < 2.2;
    const z = own ? random.range(25, 38) : random.range(18, 36);
    place(world, x, z, 28, x > 0 ? AWAY : ONCOMING, (frame) => tram(stage, look, random, frame));
  }
  crossTraffic(world);
  if (random.chance(statistics.bus)) {
    const { x, heading } = someLane();
    place(world, x, random.range(15, 34), 12.5, heading, (frame) => bus(stage, look, random, frame));
  }
  for (
    let i = random.chance(statistics.truck) ? random.int(1, plan.type === 'highway' ? 2 : 1) : 0;
    i > 0;
    i--
  ) {
    const { x, heading } = someLane();
    place(world, x, random.range(12, 36), 10, heading, (frame) => truck(stage, look, random, frame));
  }
  if (random.chance(statistics.motorcyclist)) {
    const { x } = someLane();
    const z = random.range(7.5, 18) * stage.camera.focal;
    place(world, x + random.range(-0.6, 0.6), z, 2, AWAY, () =>
      motorcycle(stage, look, random, x, 0, z, randomTurn(random), true),
    );
  }
  for (const way of [1, -1] as const) {
    for (let i = 0; i < plan.lanes; i++) {
      for (let z = random.range(6, 14); z < 90; z += random.range(6, 13)) {
        const inCrossing =
          plan.crossing !== undefined && z > plan.crossing.from - 3 && z < plan.crossing.to + 2;
        if (!inCrossing && random.chance(statistics.driving * 0.6))
          drive(world, laneAt(i, way) + random.range(-0.25, 0.25), z, way === 1 ? AWAY : ONCOMING);
      }
    }
  }
  for (const flank of plan.flanks) {
    if (!flank.parking) continue;
    const heading = flank.side === 1 || random.chance(0.3) ? AWAY : ONCOMING;
    for (let z = random.range(3, 8); z < 90; z += random.range(5.6, 6.6)) {
      const inCrossing =
        plan.crossing !== undefined && z > plan.crossing.from - 6 && z < plan.crossing.to + 4;
      if (!inCrossing && random.chance(statistics.parked))
        drive(world, flank.side * (flank.road - 1.02), z, heading);
    }
  }
}

function drive(world: World, x: number, z: number, heading: number): void {
  const { stage, look, random, plan } = world;
  // A tram has its track to itself, so that it is seen.
  if (plan.track !== undefined && Math.abs(plan.track - x) < 1.6) return;
  place(world, x, z, 4.8, heading + random.range(-0.03, 0.03), (frame) => car(stage, look, random, frame));
}

/** Vehicles on the side street, seen from the side. */
function crossTraffic(world: World): void {
  const { stage, look, random, plan, statistics } = world;
  if (plan.crossing === undefined) return;
  const { from, to } = plan.crossing;
  for (let i = random.int(0, 2); i > 0; i--) {
    const way = random.sign();
    const z = way === 1 ? from + (to - from) * 0.28 : from + (to - from) * 0.74;
    const x = random.range(-16, 16);
    const kind = random.weighted({ car: 6, bus: statistics.bus * 5, truck: statistics.truck * 4 });
    const reach = kind === 'car' ? 2.4 : 6;
    const near = z - 1.3;
    const clear = world.taken.every(
      (t) => near - 1 > t.to || z + 1.3 < t.from || Math.abs(t.x - x) > reach + 1.2,
    );
    if (!clear) continue;
    world.taken.push(
      ...[-0.8, -0.4, 0, 0.4, 0.8].map((share) => ({ x: x + share * reach, from: near, to: z + 1.3 })),
    );
    const frame = frameAt(x, z, (way * Math.PI) / 2);
    stage.inShade = stage.isShaded(x, z);
    if (kind === 'car') car(stage, look, random, frame);
    else if (kind === 'bus') bus(stage, look, random, frame);
    else truck(stage, look, random, frame);
    stage.inShade = false;
  }
}

function people(world: World): void {
  const { stage, look, random, plan, statistics } = world;
  const flanks = plan.flanks.filter((flank) => flank.footway > flank.road);
  /** A place beside the road in the camera's view, nearer ones more likely. */
  const somewhere = (far: number, lateral: (flank: Flank) => number) => {
    const flank = random.pick(flanks);
    const x = flank.side * lateral(flank);
    const inView = 2 * stage.camera.focal * Math.abs(x - stage.camera.x) * random.range(1, 1.4);
    return { x, z: Math.max(inView, 5.5 + (far - 5.5) * random.range(0, 1) * random.range(0.2, 1)) };
  };
  const onFootway = (flank: Flank) =>
    random.range(flank.road + 0.4, Math.max(flank.road + 0.6, flank.footway - 0.4));
  const shade = (x: number, z: number) => {
    stage.inShade = stage.isShaded(x, z);
  };
  if (flanks.length > 0 && random.chance(statistics.people)) {
    for (let i = random.int(1, statistics.crowd); i > 0; i--) {
      const { x, z } = somewhere(38, onFootway);
      shade(x, z);
      person(stage, look, random, x, KERB, z);
      if (random.chance(0.3))
        person(
          stage,
          look,
          random,
          x + random.sign() * random.range(0.5, 0.7),
          KERB,
          z + random.range(-0.3, 0.3),
        );
    }
    if (plan.crossing !== undefined && random.chance(0.5)) {
      for (let i = random.int(1, 4); i > 0; i--) {
        const z = plan.crossing.from - random.range(1, 3.2);
        const x = random.range(-plan.flanks[0].road, plan.flanks[1].road);
        if (world.taken.some((t) => Math.abs(t.x - x) < 1.3 && z > t.from && z < t.to)) continue;
        shade(x, z);
        person(stage, look, random, x, 0, z);
      }
    }
  }
  for (let i = random.chance(statistics.cyclist) ? random.int(1, 2) : 0; i > 0; i--) {
    const flank = random.pick(plan.flanks);
    const z = random.range(7, 20) * stage.camera.focal;
    const x = flank.side * (flank.lanes - random.range(0.4, 0.9));
    place(world, x, z, 1.6, AWAY, () => bicycle(stage, look, random, x, 0, z, randomTurn(random), true));
  }
  if (flanks.length > 0 && random.chance(statistics.parkedBicycles)) {
    const { x, z } = somewhere(20, (flank) =>
      random.chance(0.5) ? flank.footway - 0.5 : Math.min(flank.road + 0.9, flank.footway - 0.5),
    );
    for (let i = random.int(1, 4); i > 0; i--) {
      const at = z + i * random.range(0.6, 1);
      shade(x, at);
      bicycle(stage, look, random, x + random.range(-0.3, 0.3), KERB, at, randomTurn(random), false);
    }
  }
  if (flanks.length > 0 && random.chance(statistics.parkedMotorcycle)) {
    const { x, z } = somewhere(18, (flank) => flank.road + 0.7);
    shade(x, z);
    motorcycle(stage, look, random, x, KERB, z, randomTurn(random), false);
  }
  stage.inShade = false;
}
