// Whether this process writes and tells, by what its launcher says; without libtorch.

/** Whether this is a rank above 0, which writes nothing and tells nothing but errors. */
export function isFollower({ WORLD_SIZE, RANK } = process.env): boolean {
  return Number(WORLD_SIZE) > 1 && Number(RANK) > 0;
}
