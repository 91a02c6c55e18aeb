// Random choice of pixels for all classes at once, without asking the device how many there are.

import { alone, arange, dims, Generator, ops, rand, randint, type Tensor, type World } from '@pgpc/torch';
import type { MemoryBank } from './memory-bank.js';
import type { ProjectedPixels } from './projected-pixels.js';

/**
 * Up to this many ranks, each draws for the pixels of all, so that the choice equals that of a single process with the
 * whole batch. More ranks would draw for longer than they compute, so each then has a generator of its own.
 */
const MOST_SHARED_DRAWS = 8;

export interface Sample {
  /** (C, n), int64: positions of the chosen pixels, the valid ones first. */
  index: Tensor;
  /** (C, n), bool: false where a class had fewer than n candidates. */
  valid: Tensor;
  /** (C, n), falling: the random keys of the chosen pixels, -1 where none was left. */
  key: Tensor;
  /** How many of a class all ranks choose together, at most. */
  total: number;
}

/** Where random numbers come from, and whose pixels they choose among. */
export interface Draws {
  readonly generator: Generator;
  readonly world: World;
}

/**
 * Draws up to n candidates of every class without replacement, uniformly.
 * @param candidates (C, P), bool: which of P pixels class c may choose.
 * @param world the ranks that share the pixels. Their draws belong together, see {@link gatherSample}.
 */
export function sampleCandidates(
  candidates: Tensor,
  n: number,
  generator: Generator,
  world: World = alone,
): Sample {
  const pixels = candidates.shape[1]!;
  // The n largest of random keys are a uniform choice. The key of a pixel that is no candidate is below all others.
  const keys = drawKeys(candidates, generator, world).maskedFill_(candidates.logicalNot(), -1);
  const [key, index] = keys.topk(Math.min(n, pixels), 1) as [Tensor, Tensor];
  return { index, valid: key.ge(0), key, total: Math.min(n, pixels * world.size) };
}

/** A random number for each of the candidates, on their device. */
function drawKeys(candidates: Tensor, generator: Generator, world: World): Tensor {
  const { device } = candidates;
  const [classes, pixels] = dims(candidates, 2);
  if (world.size <= MOST_SHARED_DRAWS) {
    return world.part(rand([classes, pixels * world.size], { generator, device }), 1);
  }
  // The seed is drawn and read on the host, so no device is waited for.
  using own = new Generator(randint(0, 2 ** 31, [1], { generator }).item() + world.rank);
  return rand([classes, pixels], { generator: own, device });
}

/**
 * What `sampleCandidates` would have drawn from the pixels of all ranks, on every rank.
 * @param sample one rank's. @param rows (C, n, D), the values at its positions. @param n as given there.
 * @returns rows (C, n, D) and which of them count, (C, n).
 */
function gatherSample(
  { key, valid }: Sample,
  rows: Tensor,
  n: number,
  world: World,
): { rows: Tensor; valid: Tensor } {
  if (world.size === 1) return { rows, valid };
  const keys = world.gather(key, 1);
  const [best, place] = keys.topk(Math.min(n, keys.shape[1]!), 1) as [Tensor, Tensor];
  // Each rank puts its own rows in their places and zeros in the others', so that no more than the result travels.
  const at = place.sub(world.rank * key.shape[1]!);
  const own = at.ge(0).logicalAnd(at.lt(key.shape[1]!)).unsqueeze(2);
  const index = at.clamp(0, key.shape[1]! - 1).unsqueeze(2);
  const found = rows.gather(1, index.expand([...place.shape, rows.shape[2]!]));
  return { rows: world.sum(ops.where(own, found, ops.zerosLike(found))), valid: best.ge(0) };
}

/** Adds a sample of up to n of the candidates (C, P) of all ranks to a bank. */
export function storeSample(
  bank: MemoryBank,
  candidates: Tensor,
  pixels: Pick<ProjectedPixels, 'at'>,
  n: number,
  { generator, world }: Draws,
): void {
  const sample = sampleCandidates(candidates, n, generator, world);
  const { rows, valid } = gatherSample(sample, pixels.at(sample.index), n, world);
  bank.enqueue(rows, valid);
}

/** (C, n), bool: which of this rank's chosen pixels are among the n of every class that all ranks choose together. */
export function chosenByAll({ key, valid }: Sample, n: number, world: World): Tensor {
  if (world.size === 1) return valid;
  const keys = world.gather(key, 1);
  const last = ops.amin((keys.topk(Math.min(n, keys.shape[1]!), 1) as [Tensor, Tensor])[0], [1], true);
  return valid.logicalAnd(key.ge(last));
}

/**
 * Picks what was drawn for each of this rank's chosen pixels. It is what a single process would draw for the pixel.
 * @param drawn (C, m, ..), equal on all ranks: for the m pixels that all ranks choose together, the best key first.
 * @returns (C, n, ..); for pixels that are not among the m, what was drawn for the last.
 */
export function drawnFor({ key }: Sample, drawn: Tensor, world: World): Tensor {
  if (world.size === 1) return drawn;
  const place = world.part(world.gather(key, 1).argsort(1, true).argsort(1), 1);
  const own = place.clampMax(drawn.shape[1]! - 1);
  return drawn.index([arange(drawn.shape[0]!, { device: own.device }).unsqueeze(1).expandAs(own), own]);
}
