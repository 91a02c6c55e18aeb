// Windows over a length, for everything that sees an image part by part.

/** Where windows start along one side: every `stride` pixels, the last one moved back to end at the border. */
export function windowStarts(length: number, window: number, stride: number): number[] {
  const steps = Math.ceil(Math.max(length - window, 0) / stride);
  return Array.from({ length: steps + 1 }, (_, i) => Math.max(0, Math.min(i * stride, length - window)));
}

/** A part of an image, in pixels. */
export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Windows over an image, row by row, none larger than it. @param size height and width. */
export function windowBoxes(
  [height, width]: readonly [number, number],
  window: { readonly width: number; readonly height: number },
  stride: { readonly width: number; readonly height: number },
): Box[] {
  const part = { height: Math.min(window.height, height), width: Math.min(window.width, width) };
  return windowStarts(height, part.height, stride.height).flatMap((top) =>
    windowStarts(width, part.width, stride.width).map((left) => ({ top, left, ...part })),
  );
}
