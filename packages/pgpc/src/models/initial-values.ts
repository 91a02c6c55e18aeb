// How networks leave out drawing initial values that are overwritten at once.

let omitted = false;

/**
 * Builds a network whose weights are loaded right after: its layers keep PyTorch's plain initial values, which saves
 * three quarters of the time that building a large MiT takes. Its generator is then in another state than otherwise.
 */
export function withoutInitialValues<T>(build: () => T): T {
  const before = omitted;
  omitted = true;
  try {
    return build();
  } finally {
    omitted = before;
  }
}

/** Draws the values that an architecture begins with, unless {@link withoutInitialValues} says not to. */
export function initialize(draw: () => void): void {
  if (!omitted) draw();
}
