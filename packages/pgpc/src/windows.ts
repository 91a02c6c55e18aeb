// Windows over a length, for everything that sees an image part by part.

/** Where windows start along one side: every `stride` pixels, the last one moved back to end at the border. */
export function windowStarts(length: number, window: number, stride: number): number[] {
  const steps = Math.ceil(Math.max(length - window, 0) / stride);
  return Array.from({ length: steps + 1 }, (_, i) => Math.max(0, Math.min(i * stride, length - window)));
}
