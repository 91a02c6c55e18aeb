// Layers that rearrange values, and resizing.

import { isHalf } from '../dtype.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';
import { named, type Sizes, sizesOf, written } from './sizes.js';

/** Makes the axes from `startDim` to `endDim` one. */
export class Flatten extends Module {
  readonly #range: { readonly startDim: number; readonly endDim: number };

  constructor({ startDim = 1, endDim = -1 }: { startDim?: number; endDim?: number } = {}) {
    super();
    this.#range = { startDim, endDim };
  }

  forward(x: Tensor): Tensor {
    return x.flatten(this.#range.startDim, this.#range.endDim);
  }

  override extraRepr(): string {
    return named(this.#range);
  }
}

/** Splits an axis into several of the sizes given; one may be -1. */
export class Unflatten extends Module {
  readonly #dim: number;
  readonly #sizes: readonly number[];

  constructor(dim: number, sizes: readonly number[]) {
    super();
    this.#dim = dim;
    this.#sizes = [...sizes];
  }

  forward(x: Tensor): Tensor {
    return x.unflatten(this.#dim, this.#sizes);
  }

  override extraRepr(): string {
    return `dim=${this.#dim}, unflattenedSize=${written(this.#sizes)}`;
  }
}

/** (B, C r^2, H, W) to (B, C, r H, r W): channels become pixels (Shi et al. 2016). */
export class PixelShuffle extends Module {
  readonly #factor: number;

  constructor(upscaleFactor: number) {
    super();
    this.#factor = upscaleFactor;
  }

  forward(x: Tensor): Tensor {
    return x.pixelShuffle(this.#factor);
  }

  override extraRepr(): string {
    return named({ upscaleFactor: this.#factor });
  }
}

/** (B, C, r H, r W) to (B, C r^2, H, W): the reverse of {@link PixelShuffle}. */
export class PixelUnshuffle extends Module {
  readonly #factor: number;

  constructor(downscaleFactor: number) {
    super();
    this.#factor = downscaleFactor;
  }

  forward(x: Tensor): Tensor {
    return x.pixelUnshuffle(this.#factor);
  }

  override extraRepr(): string {
    return named({ downscaleFactor: this.#factor });
  }
}

export interface FoldOptions {
  dilation?: Sizes<2>;
  padding?: Sizes<2>;
  stride?: Sizes<2>;
}

/** (B, C, H, W) to (B, C kh kw, windows): the values of each window, as a convolution reads them. */
export class Unfold extends Module {
  readonly #window: [kernelSize: number[], dilation: number[], padding: number[], stride: number[]];
  readonly #given: Record<string, unknown>;

  constructor(kernelSize: Sizes<2>, { dilation = 1, padding = 0, stride = 1 }: FoldOptions = {}) {
    super();
    this.#window = windowOf('Unfold', kernelSize, dilation, padding, stride);
    this.#given = { kernelSize, dilation, padding, stride };
  }

  forward(x: Tensor): Tensor {
    return ops.im2col(x, ...this.#window);
  }

  override extraRepr(): string {
    return named(this.#given);
  }
}

/** (B, C kh kw, windows) to (B, C, ...outputSize): adds up what windows that overlap have at a pixel. */
export class Fold extends Module {
  readonly #outputSize: number[];
  readonly #window: [kernelSize: number[], dilation: number[], padding: number[], stride: number[]];
  readonly #given: Record<string, unknown>;

  constructor(
    outputSize: Sizes<2>,
    kernelSize: Sizes<2>,
    { dilation = 1, padding = 0, stride = 1 }: FoldOptions = {},
  ) {
    super();
    this.#outputSize = sizesOf("Fold's outputSize", outputSize, 2, 1);
    this.#window = windowOf('Fold', kernelSize, dilation, padding, stride);
    this.#given = { outputSize, kernelSize, dilation, padding, stride };
  }

  forward(x: Tensor): Tensor {
    return ops.col2im(x, this.#outputSize, ...this.#window);
  }

  override extraRepr(): string {
    return named(this.#given);
  }
}

function windowOf(
  name: string,
  kernelSize: Sizes<2>,
  dilation: Sizes<2>,
  padding: Sizes<2>,
  stride: Sizes<2>,
): [number[], number[], number[], number[]] {
  return [
    sizesOf(`${name}'s kernelSize`, kernelSize, 2, 1),
    sizesOf(`${name}'s dilation`, dilation, 2, 1),
    sizesOf(`${name}'s padding`, padding, 2, 0),
    sizesOf(`${name}'s stride`, stride, 2, 1),
  ];
}

/** How values between pixels come about; for inputs with one, two or three axes after (B, C). */
export type InterpolateMode = 'nearest' | 'linear' | 'bilinear' | 'bicubic' | 'trilinear';

export interface InterpolateOptions {
  /** Whether the corner pixels' centres of input and output coincide, rather than the corners of the images. */
  alignCorners?: boolean;
  /** `linear` is for one axis, `bilinear` (the default) and `bicubic` for two, `trilinear` for three, `nearest` for all. */
  mode?: InterpolateMode;
}

/**
 * Resizes (B, D, ...sizes) to (B, D, ...size).
 * @throws RangeError for a mode that is not for as many axes
 */
export function interpolate(
  x: Tensor,
  size: readonly number[],
  { alignCorners = false, mode = 'bilinear' }: InterpolateOptions = {},
): Tensor {
  const wide = (map: Tensor) => resized(map, size, null, mode, alignCorners);
  // On the CPU libtorch takes several times as long for 16 bits as for 32, above all backward.
  return isHalf(x.dtype) && x.device === 'cpu' ? wide(x.to('float32')).to(x.dtype) : wide(x);
}

type Resize = (
  x: Tensor,
  size: readonly number[] | null,
  alignCorners: boolean,
  factors: readonly number[] | null,
) => Tensor;

/** By mode and number of axes. */
const resizers: Readonly<Record<string, Resize>> = {
  'nearest 1': (x, size, _, factors) => ops.upsampleNearest1d(x, size, factors),
  'nearest 2': (x, size, _, factors) => ops.upsampleNearest2d(x, size, factors),
  'nearest 3': (x, size, _, factors) => ops.upsampleNearest3d(x, size, factors),
  'linear 1': (x, size, align, factors) => ops.upsampleLinear1d(x, size, align, factors),
  'bilinear 2': (x, size, align, factors) => ops.upsampleBilinear2d(x, size, align, factors),
  'bicubic 2': (x, size, align, factors) => ops.upsampleBicubic2d(x, size, align, factors),
  'trilinear 3': (x, size, align, factors) => ops.upsampleTrilinear3d(x, size, align, factors),
};

function resized(
  x: Tensor,
  size: readonly number[] | null,
  factors: readonly number[] | null,
  mode: InterpolateMode,
  alignCorners: boolean,
): Tensor {
  const axes = x.ndim - 2;
  const resize = resizers[`${mode} ${axes}`];
  if (!resize) {
    throw new RangeError(
      `The mode '${mode}' is not for ${axes} axes after (B, C); the shape is [${x.shape}].`,
    );
  }
  return resize(x, size, alignCorners, factors);
}

/** Resizes (B, C, ...sizes) to a size, or by a factor. */
export class Upsample extends Module {
  readonly #size: number | readonly number[] | undefined;
  readonly #scaleFactor: number | readonly number[] | undefined;
  readonly #mode: InterpolateMode;
  readonly #alignCorners: boolean;

  /** @throws RangeError unless exactly one of size and factor is given */
  constructor({
    size,
    scaleFactor,
    mode = 'nearest',
    alignCorners = false,
  }: {
    /** The size of the output, of all axes or of each. */
    size?: number | readonly number[];
    /** The factor of all axes or of each. */
    scaleFactor?: number | readonly number[];
    mode?: InterpolateMode;
    /** Whether the corner pixels' centres of input and output coincide. */
    alignCorners?: boolean;
  }) {
    super();
    if ((size === undefined) === (scaleFactor === undefined)) {
      throw new RangeError('Upsample needs either a size or a scaleFactor.');
    }
    this.#size = size;
    this.#scaleFactor = scaleFactor;
    this.#mode = mode;
    this.#alignCorners = alignCorners;
  }

  forward(x: Tensor): Tensor {
    const perAxis = (value: number | readonly number[] | undefined) => {
      if (value === undefined) return null;
      return typeof value === 'number' ? x.shape.slice(2).map(() => value) : value;
    };
    return resized(x, perAxis(this.#size), perAxis(this.#scaleFactor), this.#mode, this.#alignCorners);
  }

  override extraRepr(): string {
    const [size, scaleFactor, mode] = [this.#size, this.#scaleFactor, this.#mode];
    return named(size === undefined ? { scaleFactor, mode } : { size, mode });
  }
}
