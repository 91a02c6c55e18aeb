// Two resolutions fused by a learned attention (HRDA: Hoyer et al. 2022, arXiv 2204.13132): a context image of half the size,
// and details at full size.

import { type AutocastDtype, nn, ones, ops, sizeOf, type Tensor } from '@pgpc/torch';
import { CONTEXT_SCALE } from '../config/multi-resolution.js';
import { type Box, windowBoxes } from '../windows.js';
import type { Backbone, DecodeHead, DecoderOutput } from './decoder.js';
import { paddedTo } from './fit-image.js';

/** The student's pass over its detail crop, which has a loss of its own. */
export interface DetailPass {
  readonly box: Box;
  /** (B, C, h, w), float32, of the box alone. */
  readonly logits: Tensor;
}

/** What the two resolutions give, before they are fused and after. Maps of the context are half as large. */
export interface MultiResolutionOutput extends DecoderOutput {
  /** Of the context image: the encoder's four maps. */
  stages: Tensor[];
  /** Absent in inference. */
  detail?: DetailPass;
  /** c, (B, C, h / 2, w / 2). */
  contextLogits: Tensor;
  /** d, (B, C, h, w): of the box, elsewhere 0; in inference averaged over windows. */
  detailLogits: Tensor;
  /** a, (B, C, h / 2, w / 2), in (0, 1): how much the detail counts, class by class; 0 outside the box. */
  scaleAttention: Tensor;
  /** (1 - a) c. */
  gatedContextLogits: Tensor;
}

/** One head for both resolutions, and another that says which of them to trust. Names as in HRDA's checkpoints. */
export class MultiResolutionHead extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly head: DecodeHead;
  readonly scaleAttention: DecodeHead;

  constructor(head: DecodeHead, scaleAttention: DecodeHead) {
    super();
    this.head = head;
    this.scaleAttention = scaleAttention;
  }

  get channels(): number {
    return this.head.channels;
  }

  get checkpointable(): nn.AnyModule[] {
    return [...this.head.checkpointable, ...this.scaleAttention.checkpointable];
  }

  /** At one resolution. */
  forward(stages: Tensor[]): DecoderOutput {
    return this.head.call(stages);
  }

  /** a of the context, (B, C, h, w), float32, in (0, 1). */
  attention(stages: Tensor[]): Tensor {
    return this.scaleAttention.call(stages).logits.to('float32').sigmoid();
  }

  /** Also for {@link attention}. */
  override autocast_(dtype: AutocastDtype): this {
    this.head.autocast_(dtype);
    this.scaleAttention.autocast_(dtype);
    return this;
  }
}

/** The image at half its size on each side. */
export function contextImage(image: Tensor): Tensor {
  const [height, width] = sizeOf(image);
  return nn.interpolate(image, [Math.floor(height * CONTEXT_SCALE), Math.floor(width * CONTEXT_SCALE)]);
}

/** What of a map of the whole image lies in a box of the image. @param map (.., h, w). @param size H and W of the image. */
export function boxOf(map: Tensor, box: Box, size: readonly [number, number]): Tensor {
  const { ndim } = map;
  const { top, left, height, width } = scaledBox(box, sizeOf(map)[0] / size[0]);
  return map.narrow(ndim - 2, top, height).narrow(ndim - 1, left, width);
}

/** The inverse of {@link boxOf}: 0 outside the box. @param whole h and w of the result. */
export function placedInBox(
  map: Tensor,
  box: Box,
  size: readonly [number, number],
  whole: readonly [number, number],
): Tensor {
  const { top, left, height, width } = scaledBox(box, whole[0] / size[0]);
  return map.constantPadNd([left, whole[1] - left - width, top, whole[0] - top - height], 0);
}

/** A box that lies on the grid of a map of `scale` times the image's size. */
function scaledBox({ top, left, height, width }: Box, scale: number): Box {
  const on = (length: number) => Math.round(length * scale);
  return { top: on(top), left: on(left), height: on(height), width: on(width) };
}

/** up(a) d + up((1 - a) c), bilinear. @param gated (1 - a) c. @param detail d, whose size the result has. */
function fused(attention: Tensor, gated: Tensor, detail: Tensor): Tensor {
  const size = sizeOf(detail);
  return nn.interpolate(attention, size).mul(detail).add(nn.interpolate(gated, size));
}

export interface MultiResolutionPass {
  backbone: Backbone;
  decodeHead: MultiResolutionHead;
  /** A segmentor's decoder, at one resolution. */
  decode: (stages: Tensor[]) => DecoderOutput;
  /** Of the windows of inference. */
  window: { readonly width: number; readonly height: number };
  /** Pixels by which windows move at least. */
  step: number;
}

/**
 * The pass of both resolutions. Features are fused as logits are, by the attention's mean over the classes; no gradient
 * flows to the attention by way of them.
 * @param image (B, 3, H, W), normalised. In inference sides that are no multiples of `step` are filled up with the mean colour.
 * @param box the detail crop of training; left out: details everywhere, by windows that overlap by half.
 * @returns logits and features of the whole image.
 */
export function multiResolutionPass(
  { backbone, decodeHead, decode, window, step }: MultiResolutionPass,
  image: Tensor,
  box?: Box,
): MultiResolutionOutput {
  const full = paddedTo(image, step);
  const size = sizeOf(full);
  const stages = backbone.call(contextImage(full));
  const context = decode(stages);
  const everywhere = decodeHead.attention(stages);
  const details = box
    ? detailsIn(box, (crop) => decode(backbone.call(crop)), full, sizeOf(context.logits))
    : detailsByWindows((crops) => decode(backbone.call(crops)), full, window, step);
  const attention = box
    ? placedInBox(boxOf(everywhere, box, size), box, size, sizeOf(everywhere))
    : everywhere;
  const gatedContextLogits = attention.neg().add(1).mul(context.logits);
  const shared = attention.detach().mean([1], true);
  const gatedFeatures = context.features.mul(shared.neg().add(1));
  return {
    features: fused(shared, gatedFeatures, details.features),
    logits: fused(attention, gatedContextLogits, details.logits),
    stages,
    ...(box && { detail: { box, logits: details.ofBox! } }),
    contextLogits: context.logits,
    detailLogits: details.logits,
    scaleAttention: attention,
    gatedContextLogits,
  };
}

interface Details extends DecoderOutput {
  /** Logits of the box alone. */
  ofBox?: Tensor;
}

/** Features and logits in the box, 0 elsewhere. @param context h and w of the context's maps. */
function detailsIn(
  box: Box,
  pass: (crop: Tensor) => DecoderOutput,
  image: Tensor,
  context: readonly [number, number],
): Details {
  const size = sizeOf(image);
  const { features, logits } = pass(boxOf(image, box, size).contiguous());
  const whole = [context[0] / CONTEXT_SCALE, context[1] / CONTEXT_SCALE] as const;
  const placed = (map: Tensor) => placedInBox(map, box, size, whole);
  return { features: placed(features), logits: placed(logits), ofBox: logits };
}

/** Features and logits of all windows, in one batch, averaged by how many windows see a position. */
function detailsByWindows(
  pass: (crops: Tensor) => DecoderOutput,
  image: Tensor,
  window: { readonly width: number; readonly height: number },
  step: number,
): Details {
  const size = sizeOf(image);
  const half = (length: number) => Math.max(step, Math.floor(length / 2 / step) * step);
  const stride = { width: half(window.width), height: half(window.height) };
  const boxes = windowBoxes(size, window, stride);
  const seen = pass(ops.cat(boxes.map((box) => boxOf(image, box, size))));
  if (boxes.length === 1) return seen;
  const mean = windowMean(boxes, size, seen.logits);
  return { features: mean(seen.features), logits: mean(seen.logits) };
}

/**
 * From the maps of windows to one of the whole image: at each position the mean over the windows that see it.
 * @param size height and width of the image that the boxes lie in. @param like a map of the windows, for its size and device.
 * @returns takes maps (windows * B, C, h, w), the first window of all images first.
 */
export function windowMean(
  boxes: readonly Box[],
  size: readonly [number, number],
  like: Tensor,
): (maps: Tensor) => Tensor {
  const scale = sizeOf(like)[0] / boxes[0]!.height;
  const whole = [size[0] * scale, size[1] * scale] as const;
  const images = like.shape[0]! / boxes.length;
  const summed = (parts: (i: number) => Tensor) =>
    boxes.map((box, i) => placedInBox(parts(i), box, size, whole)).reduce((sum, part) => sum.add(part));
  const one = ones([1, 1, ...sizeOf(like)], { device: like.device });
  const count = summed(() => one);
  return (maps) => summed((i) => maps.narrow(0, i * images, images)).div(count);
}
