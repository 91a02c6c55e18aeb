// Scores of a model on images without labels, to compare checkpoints.

import { dims, Generator, nn, noGrad, ops, rand, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import { prototypeMargin, softNeighbourhoodDensity } from '../experiments/scores.js';
import { boxOf } from '../models/multi-resolution.js';
import { wholeImage } from '../pipeline/crop.js';
import { entropy, pixelRows, singlePrecision } from '../pixels.js';
import { windowBoxes } from '../windows.js';
import { occurrences } from './counts.js';
import { type Network, networkDevice } from './inference.js';

/** Pixels of an image among which neighbours are looked for: 100 in Saito et al.'s code for segmentation. */
const NEIGHBOUR_PIXELS = 100;

/** Means over images; each image counts the same. */
export interface UnlabelledScores {
  /** Mean entropy of a pixel's prediction, 0 .. log C; lower is surer. */
  entropy: number;
  /** Entropy of the mean prediction less the mean entropy, 0 .. log C; higher is surer and more varied. */
  information: number;
  /** Soft neighbourhood density, 0 .. log (pixels - 1); higher is denser. */
  density: number;
  /** Share of pixels for which student and teacher have the same class; undefined without a teacher. */
  agreement?: number;
  /** How much nearer the nearest prototype is than the second, 0 .. 2; undefined without two prototypes. */
  margin?: number;
  /** Share of pixels that each class is predicted for. */
  shares: number[];
}

/**
 * Mutual information of pixel and class (Bridle et al. 1991): the entropy of the mean prediction less the mean
 * entropy. 0 where all pixels have the same prediction, whatever it is; log C where each pixel is certain and all
 * classes are as frequent.
 * @param probabilities (P, C), rows of sum 1. @returns scalar.
 */
export function informationScore(probabilities: Tensor): Tensor {
  return tidy(() => {
    const marginal = entropy(probabilities.mean([0], true)).squeeze(0);
    return marginal.sub(entropy(probabilities).mean());
  });
}

/** Share of rows whose most likely class is the same. @param a (P, C). @param b as `a`. @returns scalar. */
export function labelAgreement(a: Tensor, b: Tensor): Tensor {
  return tidy(() => a.argmax(1).eq(b.argmax(1)).to('float32').mean());
}

/** Share of rows whose most likely class is c, for every class: (P, C) to (C). */
export function predictedShares(probabilities: Tensor): Tensor {
  return tidy(() => {
    const [pixels, classes] = dims(probabilities, 2);
    return occurrences(probabilities.argmax(1), classes).div(pixels);
  });
}

/** What is scored, by a student's output of an image batch. */
export interface ScoredModel<Output extends { logits: Tensor } = { logits: Tensor }> {
  student: nn.Module<[image: Tensor], Output> & Pick<Network, 'ownWindows'>;
  teacher?: nn.Module<[image: Tensor], { logits: Tensor }> | undefined;
  /**
   * Prototypes (C, D), unit rows; the features that they are compared with, a map (B, F, h, w) of the size of the logits; and
   * the head that takes rows of it (P, F) to the prototypes' space.
   */
  prototypes?:
    | { rows: Tensor; input: (output: Output) => Tensor; project: (rows: Tensor) => Tensor }
    | undefined;
}

export interface ScoringOptions {
  /** Sampled from an image, for the density. */
  pixels?: number | undefined;
  /** Told of every image that is done. */
  onImage?: ((done: number, total: number) => void) | undefined;
}

/**
 * Scores a model on images, at the stride of its logits. A network with windows of its own sees an image by these, side by side;
 * where the last one is moved back to end at the border, pixels count twice. Networks run in evaluation mode; their modes are restored. For
 * the same images the same pixels are sampled every time. All is computed on the student's device, where teacher and
 * prototypes have to be, too.
 * @param images (3, H, W) each, uint8, RGB, on any device; one or more.
 */
export function unlabelledScores<Output extends { logits: Tensor }>(
  model: ScoredModel<Output>,
  images: readonly Tensor[],
  { pixels = NEIGHBOUR_PIXELS, onImage }: ScoringOptions = {},
): UnlabelledScores {
  if (images.length === 0) throw new RangeError('scores without labels need at least one image');
  const networks = [model.student, ...(model.teacher ? [model.teacher] : [])];
  return inEvaluation(networks, () =>
    tidy(() =>
      noGrad(() => {
        using generator = new Generator(0);
        const all = images.map((image, i) => {
          const scores = tidy(() => scoreImage(model, image, pixels, generator));
          onImage?.(i + 1, images.length);
          return scores;
        });
        const mean = (values: readonly Tensor[]) => ops.stack([...values]).mean([0]);
        const marginal = mean(all.map(({ marginal }) => marginal)).unsqueeze(0);
        const meanEntropy = mean(all.map((scores) => scores.entropy)).item();
        const agreement = all.flatMap(({ agreement }) => agreement ?? []);
        const margin = all.flatMap(({ margin }) => margin ?? []);
        return {
          entropy: meanEntropy,
          information: entropy(marginal).item() - meanEntropy,
          density: mean(all.map(({ density }) => density)).item(),
          ...(agreement.length > 0 && { agreement: mean(agreement).item() }),
          ...(margin.length > 0 && { margin: mean(margin).item() }),
          shares: mean(all.map(({ shares }) => shares)).tolist() as number[],
        };
      }),
    ),
  );
}

interface ImageScores {
  entropy: Tensor;
  marginal: Tensor;
  density: Tensor;
  shares: Tensor;
  agreement: Tensor | undefined;
  margin: Tensor | undefined;
}

function scoreImage<Output extends { logits: Tensor }>(
  { student, teacher, prototypes }: ScoredModel<Output>,
  image: Tensor,
  pixels: number,
  generator: Generator,
): ImageScores {
  const device = networkDevice(student);
  const placed = (value: Tensor) => value.to({ device, nonBlocking: true });
  const views = sideBySide(wholeImage({ image: placed(image) }), student.ownWindows?.window);
  const outputs = views.map((view) => student.call(view));
  const rowsOf = (maps: readonly Tensor[]) => ops.cat(maps.map(pixelRows));
  const rows = rowsOf(outputs.map(({ logits }) => logits)).softmax(1);
  // Drawn on the CPU, so that the pixels are the same on every device.
  const sample = placed(rand([rows.shape[0]!], { generator }).topk(Math.min(pixels, rows.shape[0]!))[1]!);
  const enough = prototypes && prototypes.rows.shape[0]! > 1;
  return {
    entropy: entropy(rows).mean(),
    marginal: rows.mean([0]),
    density: softNeighbourhoodDensity(rows.indexSelect(0, sample)),
    shares: predictedShares(rows),
    agreement: teacher && labelAgreement(rows, rowsOf(views.map((view) => teacher.call(view).logits))),
    margin: enough
      ? prototypeMargin(
          prototypes.project(singlePrecision(rowsOf(outputs.map(prototypes.input)).indexSelect(0, sample))),
          prototypes.rows,
        )
      : undefined,
  };
}

/** An image (1, 3, H, W) in windows; undefined: as it is. */
function sideBySide(image: Tensor, window: { width: number; height: number } | undefined): Tensor[] {
  if (window === undefined) return [image];
  const size = sizeOf(image);
  return windowBoxes(size, window, window).map((box) => boxOf(image, box, size));
}

/** Runs `act` with the modules in evaluation mode; then each of their parts is in its own mode again. */
export function inEvaluation<T>(modules: readonly nn.AnyModule[], act: () => T): T {
  const before = modules.flatMap((module) =>
    [...module.namedModules().values()]
      .filter((part) => part instanceof nn.Module)
      .map((part) => [part, part.training] as const),
  );
  for (const module of modules) module.eval();
  try {
    return act();
  } finally {
    // Parents come before their parts, whose modes may differ from theirs.
    for (const [part, training] of before) part.train(training);
  }
}
