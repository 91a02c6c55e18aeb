// Shapes that everything in a scene is built of: boxes, upright boards, discs and bars.
import type { Paint } from './paint.js';
import type { Stage } from './stage.js';

/** Cityscapes label ids of what a scene can hold. */
export const ID = {
  egoVehicle: 1,
  static: 4,
  dynamic: 5,
  road: 7,
  sidewalk: 8,
  parking: 9,
  railTrack: 10,
  building: 11,
  wall: 12,
  fence: 13,
  guardRail: 14,
  bridge: 15,
  pole: 17,
  trafficLight: 19,
  trafficSign: 20,
  vegetation: 21,
  terrain: 22,
  sky: 23,
  person: 24,
  rider: 25,
  car: 26,
  truck: 27,
  bus: 28,
  train: 31,
  motorcycle: 32,
  bicycle: 33,
} as const;

/** Place and heading of an object: its own axes are x to its right, y up and z ahead. */
export interface Frame {
  x: number;
  y: number;
  z: number;
  cos: number;
  sin: number;
}

/** @param heading clockwise seen from above, 0 = along the road away from the camera, in radians */
export function frameAt(x: number, z: number, heading: number, y = 0): Frame {
  return { x, y, z, cos: Math.cos(heading), sin: Math.sin(heading) };
}

/**
 * Draws one side of a solid unless it faces away.
 * @param corners x, y, z, u, v of each, in the frame's axes
 * @param normal outward unit vector in the frame's axes
 */
export function face(
  stage: Stage,
  frame: Frame,
  corners: readonly number[],
  normal: readonly [number, number, number],
  paint: Paint,
  labelId: number,
  bias = 1,
): void {
  const { cos, sin } = frame;
  const nx = normal[0] * cos + normal[2] * sin;
  const nz = normal[2] * cos - normal[0] * sin;
  const vertices = corners.slice();
  for (let i = 0; i < vertices.length; i += 5) {
    const x = corners[i]!;
    const z = corners[i + 2]!;
    vertices[i] = frame.x + x * cos + z * sin;
    vertices[i + 1] = frame.y + corners[i + 1]!;
    vertices[i + 2] = frame.z - x * sin + z * cos;
  }
  const { camera } = stage;
  const bent = vertices[0]! + stage.bendAt(vertices[2]!);
  const towards = nx * (bent - camera.x) + normal[1] * (vertices[1]! - camera.y) + nz * vertices[2]!;
  if (towards >= 0) return;
  stage.polygon(vertices, stage.surface(paint, labelId, [nx, normal[1], nz]), bias);
}

export interface Extent {
  x0: number;
  x1: number;
  y0: number;
  y1: number;
  z0: number;
  z1: number;
}

export interface BoxPaints {
  side: Paint;
  front: Paint;
  back: Paint;
  top: Paint;
}

/** Draws a box; on its upright sides u runs along the side and v is the height in the frame. */
export function box(
  stage: Stage,
  frame: Frame,
  e: Extent,
  labelId: number,
  paints: BoxPaints | Paint,
  bias = 1,
): void {
  const p = 'side' in paints ? paints : { side: paints, front: paints, back: paints, top: paints };
  const along = (x: number) => [
    x,
    e.y0,
    e.z0,
    e.z0,
    e.y0,
    x,
    e.y0,
    e.z1,
    e.z1,
    e.y0,
    x,
    e.y1,
    e.z1,
    e.z1,
    e.y1,
    x,
    e.y1,
    e.z0,
    e.z0,
    e.y1,
  ];
  const across = (z: number) => [
    e.x0,
    e.y0,
    z,
    e.x0,
    e.y0,
    e.x1,
    e.y0,
    z,
    e.x1,
    e.y0,
    e.x1,
    e.y1,
    z,
    e.x1,
    e.y1,
    e.x0,
    e.y1,
    z,
    e.x0,
    e.y1,
  ];
  face(stage, frame, along(e.x0), [-1, 0, 0], p.side, labelId, bias);
  face(stage, frame, along(e.x1), [1, 0, 0], p.side, labelId, bias);
  face(stage, frame, across(e.z1), [0, 0, 1], p.front, labelId, bias);
  face(stage, frame, across(e.z0), [0, 0, -1], p.back, labelId, bias);
  const top = [
    e.x0,
    e.y1,
    e.z0,
    e.x0,
    e.z0,
    e.x1,
    e.y1,
    e.z0,
    e.x1,
    e.z0,
    e.x1,
    e.y1,
    e.z1,
    e.x1,
    e.z1,
    e.x0,
    e.y1,
    e.z1,
    e.x0,
    e.z1,
  ];
  face(stage, frame, top, [0, 1, 0], p.top, labelId, bias);
}

/** Boards face the camera and catch light from above, as rounded things do. */
const BOARD_NORMAL: readonly [number, number, number] = [0, 0.5, -0.866];

/**
 * An upright convex outline that faces the camera.
 * @param outline dx, dy of each corner from (x, y); they are also u and v
 */
export function board(
  stage: Stage,
  x: number,
  y: number,
  z: number,
  outline: readonly number[],
  paint: Paint,
  labelId: number,
  bias = 1,
): void {
  const vertices: number[] = [];
  for (let i = 0; i < outline.length; i += 2) {
    const dx = outline[i]!;
    const dy = outline[i + 1]!;
    vertices.push(x + dx, y + dy, z, dx, dy);
  }
  stage.polygon(vertices, stage.surface(paint, labelId, BOARD_NORMAL), bias);
}

const CORNERS = 14;

/** An upright ellipse that faces the camera, u and v from its centre. */
export function disc(
  stage: Stage,
  x: number,
  y: number,
  z: number,
  radiusX: number,
  radiusY: number,
  paint: Paint,
  labelId: number,
  bias = 1,
): void {
  const outline: number[] = [];
  for (let i = 0; i < CORNERS; i++) {
    const angle = (2 * Math.PI * i) / CORNERS;
    outline.push(radiusX * Math.cos(angle), radiusY * Math.sin(angle));
  }
  board(stage, x, y, z, outline, paint, labelId, bias);
}

/** A straight bar from (x0, y0) to (x1, y1) that faces the camera, all at distance z. */
export function bar(
  stage: Stage,
  from: readonly [number, number],
  to: readonly [number, number],
  z: number,
  thickness: number,
  paint: Paint,
  labelId: number,
  bias = 1,
): void {
  const dx = to[0] - from[0];
  const dy = to[1] - from[1];
  const half = thickness / 2 / (Math.sqrt(dx * dx + dy * dy) || 1);
  const nx = -dy * half;
  const ny = dx * half;
  board(
    stage,
    from[0],
    from[1],
    z,
    [nx, ny, dx + nx, dy + ny, dx - nx, dy - ny, -nx, -ny],
    paint,
    labelId,
    bias,
  );
}
