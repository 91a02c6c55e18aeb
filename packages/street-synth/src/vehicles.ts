// Vehicles as solids: cars, trucks, buses and trams, with windows, wheels and lights.
import { hsv, type Rgb, scale } from './color.js';
import type { Look } from './domains.js';
import { coach, glass, type Paint, plain, wheel } from './paint.js';
import { box, type Extent, type Frame, face, ID } from './primitives.js';
import type { Random } from './random.js';
import { CAST, CONTACT, type Stage } from './stage.js';

const TYRE: Rgb = [0.07, 0.07, 0.08];
const DARK: Rgb = [0.06, 0.06, 0.07];
/** Lifts windows, lamps and wheels off the body they are on. */
const ON_BODY = 1.004;

/** Everything a vehicle is built with. */
interface Kit {
  stage: Stage;
  look: Look;
  random: Random;
  frame: Frame;
  labelId: number;
}

function extent(width: number, y0: number, y1: number, z0: number, z1: number): Extent {
  return { x0: -width / 2, x1: width / 2, y0, y1, z0, z1 };
}

function window(look: Look, low: number, high: number): Paint {
  return glass(scale(look.palette.window, 0.7), scale(look.palette.mirror, 0.75), low, high);
}

function quadAcross(x0: number, x1: number, y0: number, y1: number, z: number): number[] {
  return [x0, y0, z, x0, y0, x1, y0, z, x1, y0, x1, y1, z, x1, y1, x0, y1, z, x0, y1];
}

/** Wheels at distances `axles` along the vehicle, on both sides, and seen from behind and before. */
function wheels(kit: Kit, width: number, radius: number, axles: readonly number[]): void {
  const { stage, frame, labelId, random } = kit;
  const hub = hsv(0, 0, random.range(0.3, 0.7));
  for (const z of axles) {
    for (const side of [-1, 1] as const) {
      const x = (side * width) / 2;
      const corners: number[] = [];
      for (let i = 0; i < 12; i++) {
        const angle = (Math.PI * i) / 6;
        const u = radius * Math.cos(angle);
        const v = radius * Math.sin(angle);
        corners.push(x, radius + v, z + u, u, v);
      }
      face(stage, frame, corners, [side, 0, 0], wheel(TYRE, hub, radius), labelId, ON_BODY);
      const inner = x - side * 0.22;
      const tyre: Extent = {
        x0: Math.min(x, inner),
        x1: Math.max(x, inner),
        y0: 0,
        y1: radius * 1.2,
        z0: z - radius * 0.8,
        z1: z + radius * 0.8,
      };
      box(stage, frame, tyre, labelId, plain(TYRE));
    }
  }
}

/** A pair of lamps on the front (+1) or back (-1). */
function lamps(
  kit: Kit,
  width: number,
  y: number,
  z: number,
  end: 1 | -1,
  color: Rgb,
  size: readonly [number, number],
): void {
  for (const side of [-1, 1] as const) {
    const x = side * (width / 2 - size[0] / 2 - 0.06);
    const corners = quadAcross(x - size[0] / 2, x + size[0] / 2, y - size[1] / 2, y + size[1] / 2, z);
    face(kit.stage, kit.frame, corners, [0, 0, end], plain(color, 0.2), kit.labelId, ON_BODY);
  }
}

function plate(kit: Kit, y: number, z: number, end: 1 | -1): void {
  const corners = quadAcross(-0.26, 0.26, y, y + 0.12, z);
  face(kit.stage, kit.frame, corners, [0, 0, end], plain([0.85, 0.85, 0.8]), kit.labelId, ON_BODY);
}

/** Darkens the ground below, and where the sun throws the vehicle's shadow. */
function groundShadow(kit: Kit, width: number, z0: number, z1: number, height: number): void {
  const { stage, frame } = kit;
  const point = (x: number, z: number) => [
    frame.x + x * frame.cos + z * frame.sin,
    frame.z - x * frame.sin + z * frame.cos,
  ];
  const w = width / 2 + 0.12;
  const outline = [
    ...point(-w, z0 - 0.15),
    ...point(w, z0 - 0.15),
    ...point(w, z1 + 0.15),
    ...point(-w, z1 + 0.15),
  ];
  stage.shadowOnGround(outline, CONTACT);
  const reach = stage.inShade ? undefined : stage.shadowReach(height);
  if (reach === undefined) return;
  const shifted = outline.map((value, i) => value + (i % 2 === 0 ? reach.dx : reach.dz));
  stage.shadowOnGround(shifted, CAST);
  for (let i = 0; i < 8; i += 2) {
    const j = (i + 2) % 8;
    stage.shadowOnGround(
      [
        outline[i]!,
        outline[i + 1]!,
        outline[j]!,
        outline[j + 1]!,
        shifted[j]!,
        shifted[j + 1]!,
        shifted[i]!,
        shifted[i + 1]!,
      ],
      CAST,
    );
  }
}

const TAIL: Rgb = [0.75, 0.06, 0.05];
const BRAKE: Rgb = [1.2, 0.16, 0.1];
const HEAD: Rgb = [0.95, 0.95, 0.9];

/** A saloon, estate, off-roader or van; length 3.8 to 5 m. */
export function car(stage: Stage, look: Look, random: Random, frame: Frame): void {
  const kit: Kit = { stage, look, random, frame, labelId: ID.car };
  const type = random.weighted({ saloon: 4, hatch: 4, offRoad: 2, van: 1.2 });
  const length = { saloon: 4.6, hatch: 4, offRoad: 4.5, van: 4.9 }[type] * random.range(0.95, 1.05);
  const height = { saloon: 1.43, hatch: 1.48, offRoad: 1.72, van: 1.95 }[type] * random.range(0.97, 1.04);
  const width = random.range(1.7, 1.85) + (type === 'van' ? 0.1 : 0);
  const belt = height * random.range(0.57, 0.62);
  const body = look.palette.car();
  const bodyPaint = plain(body, 0.05, 1);
  const z0 = -length / 2;
  const z1 = length / 2;
  groundShadow(kit, width, z0, z1, height);
  // Lower body with its bonnet; the cabin stands on it.
  const bumper = random.chance(0.5) ? plain(DARK) : plain(scale(body, 0.8));
  box(stage, frame, extent(width, 0.22, belt, z0, z1), kit.labelId, bodyPaint);
  box(stage, frame, extent(width + 0.03, 0.2, 0.42, z0 - 0.05, z1 + 0.05), kit.labelId, bumper);
  const back = z0 + { saloon: 0.75, hatch: 0.05, offRoad: 0.05, van: 0.03 }[type];
  const front = z1 - { saloon: 1.2, hatch: 1, offRoad: 1.1, van: 0.75 }[type];
  const backTop = back + { saloon: 0.6, hatch: 0.4, offRoad: 0.2, van: 0.08 }[type];
  const frontTop = front - { saloon: 0.75, hatch: 0.7, offRoad: 0.55, van: 0.6 }[type];
  cabin(kit, width, belt, height, [back, backTop, frontTop, front], bodyPaint);
  const lampY = belt * 0.8;
  lamps(kit, width, lampY, z0, -1, random.chance(0.35) ? BRAKE : TAIL, [0.3, random.range(0.14, 0.26)]);
  lamps(kit, width, lampY * 0.95, z1, 1, HEAD, [0.36, 0.16]);
  face(
    stage,
    frame,
    quadAcross(-width * 0.28, width * 0.28, 0.42, lampY, z1),
    [0, 0, 1],
    plain(DARK),
    kit.labelId,
    ON_BODY,
  );
  plate(kit, 0.5, z0, -1);
  plate(kit, 0.28, z1 + 0.05, 1);
  wheels(kit, width, 0.32, [z0 + 0.8, z1 - 0.8]);
}

/** The upper part of a car: a frustum with glass all round. `z`: back and front at the belt and at the roof. */
function cabin(
  kit: Kit,
  width: number,
  belt: number,
  roof: number,
  z: readonly [back: number, backTop: number, frontTop: number, front: number],
  body: Paint,
): void {
  const { stage, frame, labelId } = kit;
  const [back, backTop, frontTop, front] = z;
  const w = width / 2 - 0.04;
  const t = width / 2 - 0.22;
  const pane = window(kit.look, belt, roof);
  const end = (zLow: number, zHigh: number, normal: readonly [number, number, number]) => {
    const whole = [
      -w,
      belt,
      zLow,
      -w,
      belt,
      w,
      belt,
      zLow,
      w,
      belt,
      t,
      roof,
      zHigh,
      t,
      roof,
      -t,
      roof,
      zHigh,
      -t,
      roof,
    ];
    face(stage, frame, whole, normal, body, labelId);
    const at = (share: number) => [belt + (roof - belt) * share, zLow + (zHigh - zLow) * share] as const;
    const [ya, za] = at(0.1);
    const [yb, zb] = at(0.86);
    const inset = [
      -w * 0.9,
      ya,
      za,
      -w,
      ya,
      w * 0.9,
      ya,
      za,
      w,
      ya,
      t * 0.92,
      yb,
      zb,
      t,
      yb,
      -t * 0.92,
      yb,
      zb,
      -t,
      yb,
    ];
    face(stage, frame, inset, normal, pane, labelId, ON_BODY);
  };
  end(back, backTop, [0, 0.35, -0.937]);
  end(front, frontTop, [0, 0.55, 0.835]);
  for (const side of [-1, 1] as const) {
    const normal: [number, number, number] = [side * 0.937, 0.35, 0];
    const a = side * w;
    const b = side * t;
    face(
      stage,
      frame,
      [
        a,
        belt,
        back,
        back,
        belt,
        a,
        belt,
        front,
        front,
        belt,
        b,
        roof,
        frontTop,
        frontTop,
        roof,
        b,
        roof,
        backTop,
        backTop,
        roof,
      ],
      normal,
      body,
      labelId,
    );
    const middle = (back + front) / 2 - 0.1;
    const c = a + (b - a) * 0.12;
    const d = a + (b - a) * 0.84;
    const y0 = belt + (roof - belt) * 0.12;
    const y1 = belt + (roof - belt) * 0.84;
    const rear = [
      c,
      y0,
      back + 0.25,
      back,
      y0,
      c,
      y0,
      middle - 0.06,
      middle,
      y0,
      d,
      y1,
      middle - 0.06,
      middle,
      y1,
      d,
      y1,
      backTop + 0.12,
      backTop,
      y1,
    ];
    const fore = [
      c,
      y0,
      middle + 0.06,
      middle,
      y0,
      c,
      y0,
      front - 0.25,
      front,
      y0,
      d,
      y1,
      frontTop - 0.1,
      frontTop,
      y1,
      d,
      y1,
      middle + 0.06,
      middle,
      y1,
    ];
    face(stage, frame, rear, normal, pane, labelId, ON_BODY);
    face(stage, frame, fore, normal, pane, labelId, ON_BODY);
  }
  face(
    stage,
    frame,
    [
      -t,
      roof,
      backTop,
      -t,
      backTop,
      t,
      roof,
      backTop,
      t,
      backTop,
      t,
      roof,
      frontTop,
      t,
      frontTop,
      -t,
      roof,
      frontTop,
      -t,
      frontTop,
    ],
    [0, 1, 0],
    body,
    labelId,
  );
}

/** A lorry: cab before a box, tipper or tank body; length 7 to 10 m. */
export function truck(stage: Stage, look: Look, random: Random, frame: Frame): void {
  const kit: Kit = { stage, look, random, frame, labelId: ID.truck };
  const length = random.range(7, 10);
  const width = 2.45;
  const z0 = -length / 2;
  const z1 = length / 2;
  const cargoHeight = random.range(2.9, 3.7);
  groundShadow(kit, width, z0, z1, cargoHeight);
  const cab = look.palette.car();
  const cargo = random.chance(0.5) ? hsv(0, 0, random.range(0.6, 0.95)) : look.palette.car();
  const cabHeight = random.range(2.5, 2.95);
  const cabBack = z1 - 1.9;
  box(stage, frame, extent(width - 0.1, 0.5, cabHeight, cabBack, z1), kit.labelId, plain(cab, 0.05, 1));
  face(
    stage,
    frame,
    quadAcross(-1.05, 1.05, 1.55, 2.35, z1),
    [0, 0, 1],
    window(look, 1.5, 2.4),
    kit.labelId,
    ON_BODY,
  );
  for (const side of [-1, 1] as const) {
    const x = side * (width / 2 - 0.05);
    const pane = [
      x,
      1.55,
      cabBack + 0.6,
      0,
      1.55,
      x,
      1.55,
      z1 - 0.15,
      1,
      1.55,
      x,
      2.3,
      z1 - 0.35,
      1,
      2.3,
      x,
      2.3,
      cabBack + 0.6,
      0,
      2.3,
    ];
    face(stage, frame, pane, [side, 0, 0], window(look, 1.5, 2.4), kit.labelId, ON_BODY);
  }
  face(stage, frame, quadAcross(-1, 1, 0.6, 1.2, z1), [0, 0, 1], plain(DARK), kit.labelId, ON_BODY);
  lamps(kit, width, 0.8, z1, 1, HEAD, [0.35, 0.22]);
  const sidePaint = coach({
    body: cargo,
    stripe: random.chance(0.6) ? cargo : look.palette.car(),
    glass: cargo,
    windowLow: 9,
    windowHigh: 9,
    pillarPeriod: 1,
    pillarShare: 0,
    stripeHigh: random.range(1.3, 2.4),
  });
  const floor = 0.95;
  box(stage, frame, extent(width, floor, cargoHeight, z0, cabBack - 0.25), kit.labelId, {
    side: sidePaint,
    front: plain(cargo, 0.05, 1),
    back: plain(scale(cargo, 0.92), 0.06, 1),
    top: plain(cargo),
  });
  // Frame below the load, door gap, lamps.
  box(stage, frame, extent(width - 0.5, 0.45, floor, z0 + 0.1, cabBack), kit.labelId, plain(DARK));
  face(
    stage,
    frame,
    quadAcross(-0.03, 0.03, floor, cargoHeight - 0.1, z0),
    [0, 0, -1],
    plain(DARK),
    kit.labelId,
    ON_BODY,
  );
  face(
    stage,
    frame,
    quadAcross(-width / 2, width / 2, 0.55, 0.8, z0),
    [0, 0, -1],
    plain([0.2, 0.2, 0.2]),
    kit.labelId,
  );
  lamps(kit, width, 0.68, z0, -1, TAIL, [0.4, 0.18]);
  wheels(kit, width, 0.5, [z0 + 1.1, z0 + 2.2, z1 - 1.2]);
}

/** A city bus or coach; length 10.5 to 12.5 m. */
export function bus(stage: Stage, look: Look, random: Random, frame: Frame): void {
  const kit: Kit = { stage, look, random, frame, labelId: ID.bus };
  const length = random.range(10.5, 12.5);
  const height = random.range(2.95, 3.3);
  const width = 2.52;
  const z0 = -length / 2;
  const z1 = length / 2;
  groundShadow(kit, width, z0, z1, height);
  const body = random.chance(0.3) ? hsv(0, 0, random.range(0.75, 0.95)) : look.palette.car();
  const windows = scale(look.palette.window, 0.8);
  const pattern = {
    body,
    stripe: random.chance(0.5) ? body : look.palette.car(),
    glass: windows,
    windowLow: 1.25,
    windowHigh: 2.4,
    pillarPeriod: random.range(1.3, 1.8),
    pillarShare: 0.1,
    stripeHigh: random.range(0.6, 1.1),
  };
  const end = coach({ ...pattern, pillarPeriod: 50, pillarShare: 0 });
  box(stage, frame, extent(width, 0.32, height, z0, z1), kit.labelId, {
    side: coach(pattern),
    front: end,
    back: end,
    top: plain(body),
  });
  face(
    stage,
    frame,
    quadAcross(-1.12, 1.12, 0.95, 2.5, z1),
    [0, 0, 1],
    window(look, 0.9, 2.6),
    kit.labelId,
    ON_BODY,
  );
  // Route display before and behind, doors on the kerb side.
  face(
    stage,
    frame,
    quadAcross(-0.8, 0.8, height - 0.42, height - 0.14, z1),
    [0, 0, 1],
    plain([0.9, 0.6, 0.12], 0.4),
    kit.labelId,
    ON_BODY,
  );
  face(
    stage,
    frame,
    quadAcross(-0.35, 0.35, height - 0.42, height - 0.14, z0),
    [0, 0, -1],
    plain([0.9, 0.6, 0.12], 0.4),
    kit.labelId,
    ON_BODY,
  );
  for (const z of [z1 - 1.3, 0.4]) {
    const x = width / 2;
    face(
      stage,
      frame,
      [x, 0.4, z - 0.6, 0, 0.4, x, 0.4, z + 0.6, 1, 0.4, x, 2.4, z + 0.6, 1, 2.4, x, 2.4, z - 0.6, 0, 2.4],
      [1, 0, 0],
      window(look, 0, 3),
      kit.labelId,
      ON_BODY,
    );
  }
  lamps(kit, width, 0.7, z1, 1, HEAD, [0.4, 0.22]);
  lamps(kit, width, 0.85, z0, -1, TAIL, [0.2, 0.5]);
  plate(kit, 0.5, z0, -1);
  wheels(kit, width, 0.48, [z0 + 2.6, z1 - 2.6]);
}

/** A tram of two or three cars, which Cityscapes labels `train`. */
export function tram(stage: Stage, look: Look, random: Random, frame: Frame): void {
  const kit: Kit = { stage, look, random, frame, labelId: ID.train };
  const cars = random.int(2, 3);
  const carLength = random.range(8.5, 10);
  const width = 2.4;
  const height = random.range(3.35, 3.7);
  const length = cars * carLength;
  const z0 = -length / 2;
  const z1 = length / 2;
  groundShadow(kit, width, z0, z1, height);
  const body = random.chance(0.5)
    ? hsv(random.pick([0, 0.13, 0.35, 0.6]), random.range(0.4, 0.75), random.range(0.5, 0.85))
    : hsv(0.12, 0.12, 0.86);
  const pattern = {
    body,
    stripe: hsv(random.range(0, 1), random.range(0.2, 0.7), random.range(0.2, 0.6)),
    glass: scale(look.palette.window, 0.75),
    windowLow: 1.35,
    windowHigh: 2.65,
    pillarPeriod: random.range(1.5, 2.2),
    pillarShare: 0.12,
    stripeHigh: random.range(0.8, 1.3),
  };
  for (let i = 0; i < cars; i++) {
    const a = z0 + i * carLength;
    box(stage, frame, extent(width, 0.22, height, a + 0.25, a + carLength - 0.25), kit.labelId, {
      side: coach(pattern),
      front: plain(body),
      back: plain(body),
      top: plain(scale(body, 0.8)),
    });
    box(
      stage,
      frame,
      extent(width * 0.86, 0.3, height * 0.95, a + carLength - 0.3, a + carLength + 0.3),
      kit.labelId,
      plain([0.13, 0.13, 0.14]),
    );
    box(
      stage,
      frame,
      extent(1.5, height, height + 0.35, a + 2, a + carLength - 2),
      kit.labelId,
      plain([0.35, 0.36, 0.37]),
    );
  }
  for (const [z, end] of [
    [z0 + 0.25, -1],
    [z1 - 0.25, 1],
  ] as const) {
    // Nose with a tall windscreen, number plate above, lamps below; it stands before the first car's end.
    const nose =
      end === 1
        ? extent(width * 0.9, 0.25, height * 0.97, z, z + 0.75)
        : extent(width * 0.9, 0.25, height * 0.97, z - 0.75, z);
    const tip = z + end * 0.75;
    box(stage, frame, nose, kit.labelId, plain(body, 0.04, 1));
    face(
      stage,
      frame,
      quadAcross(-0.98, 0.98, 1.25, 2.75, tip),
      [0, 0, end],
      window(look, 1, 2.9),
      kit.labelId,
      ON_BODY,
    );
    face(
      stage,
      frame,
      quadAcross(-0.55, 0.55, 2.82, 3.1, tip),
      [0, 0, end],
      plain([0.95, 0.75, 0.2], 0.3),
      kit.labelId,
      ON_BODY,
    );
    face(
      stage,
      frame,
      quadAcross(-1.08, 1.08, 0.25, 0.6, tip),
      [0, 0, end],
      plain(pattern.stripe),
      kit.labelId,
      ON_BODY,
    );
    lamps(kit, width * 0.9, 0.9, tip, end, end === 1 ? HEAD : TAIL, [0.28, 0.2]);
  }
}
