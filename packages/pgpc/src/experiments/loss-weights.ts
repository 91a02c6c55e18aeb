// Loss weights that set themselves: lambda_t and lambda_c from gradient norms, or from learned uncertainties.

import { grad, noGrad, ops, optim, sizeOf, type Tensor, tensor, tidy, type World } from '@pgpc/torch';
import { segmentationLoss } from '../adaptation/losses.js';
import type { LossWeights, Part, WeightedTerms } from '../adaptation/parts.js';
import type { WeightingOptions } from '../config/loss-weights.js';
import { nearest, singlePrecision } from '../pixels.js';

/** What chooses the weights of a step from what the steps before it have shown. */
export type LossWeighting = Required<
  Pick<Part, 'lossWeights' | 'watch' | 'stateDict' | 'loadStateDict' | 'dispose'>
>;

/** The hand-set weights, which the others start from. */
export interface StartingWeights {
  target: number;
  contrast: number | undefined;
}

/** @param device the student's. @param world the ranks that share the batch; all get the same weights. */
export function lossWeighting(
  options: WeightingOptions,
  start: StartingWeights,
  device: string,
  world: World,
): LossWeighting {
  return options.kind === 'gradient-norm'
    ? new GradientNormWeights(start, options.momentum, device, world)
    : new UncertaintyWeights(start, options.lr, device, world);
}

/** Bound of a weight that one batch asks for: a loss with next to no gradient would ask for any. */
const MOST = 1e3;

/**
 * Weights that let every pixel that a loss acts on pull as hard on the decoder's features as a labelled pixel of L_s.
 *
 * The pull of a loss is the root mean square, over the pixels that it acts on, of its gradient with respect to their
 * features. The losses share these features (Sener & Koltun 2018, arXiv 1810.04650, take gradients there instead of at the
 * shared parameters). lambda is the ratio of the pull of L_s to that of the loss, as in GradNorm (Chen et al. 2018, arXiv
 * 1711.02257) at equal rates and in the adaptive weight of VQGAN (Esser et al. 2021, arXiv 2012.09841). Here it is per
 * pixel instead of in all, so that a contrast of few anchors is not blown up to the norm of all pixels. A target pixel's
 * pull is taken per unit of its weight, so that it stays q times that of a labelled one.
 *
 * The logarithm of a weight is a running mean over the steps in which both gradients were there. The starting value
 * counts as one of them.
 */
export class GradientNormWeights implements LossWeighting {
  /** Logarithms of lambda_t and lambda_c: (1) or (2). */
  readonly #logs: Tensor;
  /** How many steps are in them; of the same shape, int64. */
  readonly #seen: Tensor;

  constructor(
    { target, contrast }: StartingWeights,
    readonly momentum: number,
    device: string,
    readonly world: World,
  ) {
    const start = contrast === undefined ? [target] : [target, contrast];
    this.#logs = tensor(start.map(Math.log), { device });
    this.#seen = tidy(() => this.#logs.zerosLike().to('int64'));
  }

  lossWeights(): LossWeights {
    const [target, contrast] = tidy(() => this.#logs.exp().unbind() as Tensor[]);
    return { target: target!, ...(contrast && { contrast }) };
  }

  watch({ source, mixed, contrast }: WeightedTerms, weights: LossWeights): () => void {
    mixed.features.retainGrad();
    // Through the anchors' projection alone. Until the contrast sets in there is no graph.
    const anchorPull = contrast?.loss.requiresGrad
      ? grad(contrast.loss, [contrast.features], { retainGraph: true })[0]!
      : undefined;
    return () =>
      tidy(() =>
        noGrad(() => {
          // Squares and sums of what may be bfloat16.
          const pull = anchorPull && singlePrecision(anchorPull);
          let gradient = singlePrecision(mixed.features.grad!);
          if (pull && contrast!.features === mixed.features) {
            gradient = gradient.sub(pull.mul(weights.contrast!));
          }
          const size = sizeOf(gradient);
          const labelled = nearest(source.label.ne(255), size);
          const inside = awayFrom(mixed.mask.logicalOr(mixed.weight.eq(0)), size);
          const none = labelled.zerosLike().sum();
          const anchors = pull?.square().sum([1]);
          // For L_s, L_t and L_c: squared gradients, and the squared weights of their pixels.
          const sums = [
            [singlePrecision(source.features.grad!).square().sum(), labelled.sum()],
            [
              gradient.square().sum([1]).mul(inside).sum(),
              nearest(mixed.weight, size).mul(inside).square().sum(),
            ],
            anchors ? [anchors.sum(), anchors.gt(0).to('float32').sum()] : [none, none],
          ].slice(0, 1 + this.#logs.numel);
          this.#learn(this.world.sum(ops.stack(sums.flat())).view([-1, 2]));
        }),
      );
  }

  /** @param sums (2 or 3, 2): of L_s, L_t and L_c. */
  #learn(sums: Tensor): void {
    const there = sums.gt(0).all(1);
    const valid = there.narrow(0, 1, this.#logs.numel).logicalAnd(there.select(0, 0));
    const pulls = sums.select(1, 0).div(sums.select(1, 1)).sqrt();
    const wanted = pulls
      .select(0, 0)
      .div(pulls.narrow(0, 1, this.#logs.numel))
      .log();
    const bound = Math.log(MOST);
    const count = this.#seen.to('float32');
    const decay = count.add(1).div(count.add(2)).clampMax(this.momentum);
    const moved = this.#logs.lerp(wanted.clamp(-bound, bound), decay.neg().add(1));
    this.#logs.copy_(ops.where(valid, moved, this.#logs));
    this.#seen.add_(valid);
  }

  stateDict(): Map<string, Tensor> {
    return new Map([
      ['log', this.#logs],
      ['seen', this.#seen],
    ]);
  }

  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    noGrad(() => {
      for (const [name, value] of this.stateDict()) value.copy_(state.get(name)!);
    });
  }

  dispose(): void {
    this.#logs.dispose();
    this.#seen.dispose();
  }
}

/**
 * Weights from the uncertainty of each loss (Kendall, Gal & Cipolla 2018, arXiv 1705.07115): log variances s_i that
 * minimise sum_i exp(-s_i) L_i + s_i / 2, their form for classification (eq 10), which L_c is too. AdamW takes them
 * down that gradient, without decay.
 *
 * All weights are divided by that of L_s: lambda_i = exp(s_s - s_i). So L_s keeps weight 1, the scale of the learning rate
 * and of the feature distance. L_t counts as the mean over target pixels by their weights. As a sum, few pixels, or pixels
 * of small q, would weigh little, and lambda_t would take back what q does.
 */
export class UncertaintyWeights implements LossWeighting {
  /** s of L_s, L_t and, if any, L_c: scalars. */
  readonly #logVariances: readonly Tensor[];
  readonly #optimizer: optim.AdamW;

  constructor(
    { target, contrast }: StartingWeights,
    lr: number,
    device: string,
    readonly world: World,
  ) {
    const start = contrast === undefined ? [1, target] : [1, target, contrast];
    this.#logVariances = start.map((weight) => tensor(-Math.log(weight), { device, requiresGrad: true }));
    this.#optimizer = new optim.AdamW(this.#logVariances, { lr, weightDecay: 0 });
  }

  lossWeights(): LossWeights {
    return tidy(() =>
      noGrad(() => {
        const [source, target, contrast] = this.#logVariances;
        const over = (s: Tensor) => source!.sub(s).exp();
        return { target: over(target!), ...(contrast && { contrast: over(contrast) }) };
      }),
    );
  }

  watch({ source, mixed, contrast }: WeightedTerms): () => void {
    return () =>
      tidy(() =>
        noGrad(() => {
          const weight = mixed.weight.mul(mixed.mask.logicalNot());
          const sums = [source.loss, segmentationLoss(mixed.logits, mixed.label, weight), weight.mean()];
          // Until the contrast sets in, its variance has no gradient, and AdamW leaves it alone.
          if (contrast?.loss.requiresGrad) sums.push(contrast.loss);
          const [onSource, onTarget, share, ...onAnchors] = this.world
            .mean(ops.stack(sums))
            .unbind() as Tensor[];
          for (const [i, loss] of [onSource!, onTarget!.div(share!), ...onAnchors].entries()) {
            const s = this.#logVariances[i]!;
            const gradient = loss.mul(s.neg().exp()).neg().add(0.5);
            // A loss of 0, or 0 of 0, is one that no pixel took part in.
            s.grad = ops.where(loss.gt(0), gradient, gradient.zerosLike());
          }
          this.#optimizer.step();
          this.#optimizer.zeroGrad();
        }),
      );
  }

  stateDict(): Map<string, Tensor> {
    const { tensors, settings } = this.#optimizer.stateDict();
    return new Map([
      ...this.#logVariances.map((s, i) => [`log_variance.${i}`, s] as const),
      ...[...tensors].map(([name, value]) => [`optimizer.${name}`, value] as const),
      ['steps', tensor(settings.steps, { dtype: 'int64' })],
    ]);
  }

  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    tidy(() => {
      noGrad(() => {
        for (const [i, s] of this.#logVariances.entries()) s.copy_(state.get(`log_variance.${i}`)!);
      });
      const { groups } = this.#optimizer.stateDict().settings;
      const prefix = 'optimizer.';
      const tensors = [...state].flatMap(([name, value]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
      );
      const steps = state.get('steps')!.tolist() as number[];
      this.#optimizer.loadStateDict({ tensors: new Map(tensors), settings: { steps, groups } });
    });
  }

  dispose(): void {
    this.#optimizer.dispose();
    for (const s of this.#logVariances) s.dispose();
  }
}

/**
 * Features whose gradient comes from no marked pixel. Bilinear resizing spreads a pixel over its own cell and the next
 * ones.
 * @param marked (B, H, W), bool. @returns (B, h, w), 0 or 1, float32.
 */
function awayFrom(marked: Tensor, size: readonly [number, number]): Tensor {
  const [cells] = ops.adaptiveMaxPool2d(marked.unsqueeze(1).to('float32'), size) as [Tensor, Tensor];
  return ops.maxPool2d(cells, 3, 1, 1).squeeze(1).neg().add(1);
}
