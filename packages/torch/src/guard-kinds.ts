// What looks at the arguments of a call before libtorch does, each for one way in which it would end the process or not end
// for hours. argument-guards.ts says which operators have which.

import { native } from './native.js';
import { liveHandle, Tensor, tidy } from './tensor.js';

/** The call's arguments by the schema's names; undefined is one that was left out. */
type Arguments = (name: string) => unknown;

/** @returns why the call may not be made, or undefined where it may */
export type Guard = (argument: Arguments) => string | undefined;

/** The orders of polynomials are loops: at most so many steps for all elements together, some seconds. */
const MOST_STEPS = 2 ** 30;

const LARGEST_ROOT = 2 ** 26;
const LONGEST_SIDE = 2 ** 20;

/** The first of the arguments `names` that is a tensor and not as it must be. */
function wrongTensor(
  argument: Arguments,
  names: readonly string[],
  isWrong: (value: Tensor) => boolean,
): string | undefined {
  return names.find((name) => {
    const value = argument(name);
    return value instanceof Tensor && isWrong(value);
  });
}

/** Each of the parts, in order. */
export const all =
  (...parts: Guard[]): Guard =>
  (argument) => {
    for (const part of parts) {
      const fault = part(argument);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

/** The tensor `name` must have one element. */
export const oneElement =
  (name: string): Guard =>
  (argument) => {
    const value = argument(name);
    if (!(value instanceof Tensor) || value.numel === 1) return undefined;
    return `it reads the one element of ${name}, which has shape [${value.shape}]`;
  };

/** The tensors `names` must not be of whole numbers: what they are divided by becomes 0 as one. */
export const floats =
  (...names: string[]): Guard =>
  (argument) => {
    const name = wrongTensor(argument, names, ({ dtype }) => /^(u?int|bool)/.test(dtype));
    if (name === undefined) return undefined;
    return `it divides whole numbers by 0: ${name} must be of floats, not ${(argument(name) as Tensor).dtype}`;
  };

/** The tensors `first` and `second` must have one shape. */
export const sameShape =
  (first: string, second: string): Guard =>
  (argument) => {
    const [a, b] = [argument(first), argument(second)];
    if (!(a instanceof Tensor) || !(b instanceof Tensor) || String(a.shape) === String(b.shape))
      return undefined;
    return `it takes ${first} and ${second} to be of one shape, which are [${a.shape}] and [${b.shape}]`;
  };

/** The square of `name` must not be more than libtorch's whole numbers hold. */
export const boundedSquare =
  (name: string): Guard =>
  (argument) => {
    const value = Math.abs(Number(argument(name)));
    return value < LARGEST_ROOT ? undefined : `it takes the square of ${name}, which is more than 2^53`;
  };

/** The numbers of the list `name` must not multiply to more than libtorch's whole numbers hold. */
export const boundedProduct =
  (name: string): Guard =>
  (argument) => {
    const product = [argument(name)].flat().reduce((all: number, n) => all * Number(n), 1);
    if (Math.abs(product) <= Number.MAX_SAFE_INTEGER) return undefined;
    return `it multiplies the numbers of ${name}, [${argument(name)}], to more than 2^53`;
  };

/**
 * The largest number of `name` is the length of a loop, also where nothing comes out: none so long that it would take seconds.
 * @param power of 2, for the longest. @param what it is, of that length.
 */
export const boundedLoop =
  (name: string, power: number, what: (length: number) => string): Guard =>
  (argument) => {
    const length = Math.max(...[argument(name)].flat().map(Number));
    return length <= 2 ** power ? undefined : `${what(length)} would take too long: at most 2^${power}`;
  };

/** The tensors `names` must lie in memory by strides: not in sparse and packed layouts, nor quantized. */
export const strided =
  (...names: string[]): Guard =>
  (argument) => {
    const name = wrongTensor(argument, names, (value) => !native.isStrided(liveHandle(value)));
    return name === undefined ? undefined : `it reads ${name} by strides, which this layout has not`;
  };

/** The tensors `names` must have a place in memory for each element: what expand() gives has not. */
export const unexpanded =
  (...names: string[]): Guard =>
  (argument) => {
    const name = wrongTensor(argument, names, (value) => native.isExpanded(liveHandle(value)));
    if (name === undefined) return undefined;
    return `it goes beyond a ${name} that expand() has made; contiguous() gives a copy`;
  };

/** Libtorch divides by sizes where this layout has no element. */
export const someElement: Guard = (argument) => {
  const self = argument('self');
  return self instanceof Tensor && self.numel === 0
    ? `self has no element, in the shape [${self.shape}]`
    : undefined;
};

/** {@link someElement} of sparse and packed layouts alone. */
export const packedElement: Guard = (argument) => {
  const self = argument('self');
  if (!(self instanceof Tensor) || self.numel > 0 || native.isStrided(liveHandle(self))) return undefined;
  return someElement(argument);
};

/** The tensors `names` must have so many dimensions. */
export const dimensions =
  (count: number, ...names: string[]): Guard =>
  (argument) => {
    const name = wrongTensor(argument, names, ({ ndim }) => ndim !== count);
    if (name === undefined) return undefined;
    return `${name} has ${count} dimensions, not the shape [${(argument(name) as Tensor).shape}]`;
  };

/** LAPACK's loop need not end over what is not finite. A GPU's does, and to look there would wait for it. */
export const finiteMatrix: Guard = (argument) => {
  const matrix = ['A', 'self', 'input'].map(argument).find((value) => value instanceof Tensor);
  if (!(matrix instanceof Tensor) || matrix.device !== 'cpu' || !/^float/.test(matrix.dtype))
    return undefined;
  if (!native.isStrided(liveHandle(matrix))) return undefined;
  return tidy(() => matrix.isfinite().all().item()) !== 0
    ? undefined
    : 'its loop need not end for a matrix with numbers that are not finite, as this one has';
};

/** Interpolation looks where the scale says, and not whether that is in the image. */
export const scalesFit: Guard = (argument) => {
  if (argument('alignCorners') === true) return undefined;
  const output = [argument('outputSize')].flat().map(Number);
  const self = argument('self');
  const whole =
    self instanceof Tensor ? self.shape : ([argument('inputSize')].flat().map(Number) as number[]);
  const input = whole.slice(-output.length);
  const names = output.length === 1 ? ['scales'] : ['scalesD', 'scalesH', 'scalesW'].slice(-output.length);
  const wrong = names.findIndex((name, i) => {
    const scale = argument(name);
    return typeof scale === 'number' && !(scale > 0 && output[i]! / scale < input[i]! + 1);
  });
  if (wrong < 0) return undefined;
  const [name, from, to] = [names[wrong]!, input[wrong], output[wrong]];
  return `${name} ${argument(name)} does not bring ${from} pixels to ${to}: it would read beyond them`;
};

/** As many weights as the layers have. */
export const layersHaveParameters: Guard = (argument) => {
  const [params, layers] = [argument('params'), Number(argument('numLayers'))];
  if (!Array.isArray(params)) return undefined;
  const each = (argument('hasBiases') ? 4 : 2) * (argument('bidirectional') ? 2 : 1);
  // An LSTM with projections has one more a layer and direction.
  const counts = [each * layers, (each + (argument('bidirectional') ? 2 : 1)) * layers];
  if (layers >= 1 && counts.includes(params.length)) return undefined;
  return `${layers} layers have ${counts[0]} parameters, and at least one layer is wanted, not ${params.length} parameters`;
};

/** A tensor without dimensions has one element, which is all that can be selected. */
export const oneOfScalar: Guard = (argument) => {
  const [self, index] = [argument('self'), argument('index')];
  if (!(self instanceof Tensor && index instanceof Tensor) || self.ndim > 0 || index.numel === 1)
    return undefined;
  return `self has no dimensions, so one index selects from it, not ${index.numel}`;
};

/** Rows that factors were exchanged with, counted from 1: libtorch goes there. */
export const pivotsOfMatrix: Guard = (argument) => {
  const [data, pivots] = [argument('LUData'), argument('LUPivots')];
  if (!(data instanceof Tensor && pivots instanceof Tensor)) return undefined;
  const [rows, columns] = data.shape.slice(-2) as [number, number];
  const wanted = [...data.shape.slice(0, -2), Math.min(rows, columns)];
  if (data.ndim < 2 || String(pivots.shape) !== String(wanted)) {
    return `LUPivots has the shape [${wanted}] for LUData of [${data.shape}], not [${pivots.shape}]`;
  }
  if (pivots.device !== 'cpu') return undefined;
  const wrong = [...pivots.toArray()].find((row) => !(Number(row) >= 1 && Number(row) <= rows));
  return wrong === undefined ? undefined : `there is no row ${wrong} in a matrix of ${rows}, counted from 1`;
};

/** What sums are divided by is a whole number of 32 bits there, and 0 where it is a multiple of 2^32. */
export const divisorFits: Guard = (argument) => {
  const divisor = argument('divisorOverride');
  if (typeof divisor !== 'number' || (divisor !== 0 && Math.abs(divisor) < 2 ** 31)) return undefined;
  return `divisorOverride is a number of 32 bits and not 0, not ${divisor}`;
};

/** Loops over all places of an output, also where it has no element. */
export const boundedOutput: Guard = (argument) => {
  const sides = [argument('outputSize')].flat().map(Number);
  if (!sides.includes(0) || Math.max(...sides) <= LONGEST_SIDE) return undefined;
  return `an output of [${sides}] has no element and would take too long: sides of at most 2^20 beside one of 0`;
};

/** How many sequences reach each step: as many rows as data has together. */
export const packedSteps: Guard = (argument) => {
  const [data, sizes] = [argument('data'), argument('batchSizes')];
  if (!(data instanceof Tensor && sizes instanceof Tensor)) return undefined;
  const steps = [...sizes.toArray()].map(Number);
  const sum = steps.reduce((total, size) => total + size, 0);
  const falls = steps.every((size, i) => size >= 1 && size <= (steps[i - 1] ?? size));
  if (sizes.ndim === 1 && steps.length > 0 && falls && sum === data.shape[0]) return undefined;
  return `batchSizes fall, are 1 or more and ${data.shape[0] ?? 0} together, as data has rows`;
};

/** Groups are counted by 32 bits in some kernels: 0 of them at 2^32, by which channels are divided. */
export const countedGroups: Guard = (argument) => {
  const groups = argument('groups');
  if (groups === undefined || (Number(groups) >= 1 && Number(groups) < 2 ** 31)) return undefined;
  return `groups is a number from 1 to 2^31, not ${groups}`;
};

/** An output that is made larger, and shares memory with what is read, takes it away. */
export const diagonalFits: Guard = (argument) => {
  const [self, out] = [argument('self'), argument('out')];
  if (!(self instanceof Tensor && out instanceof Tensor)) return undefined;
  const offset = Number(argument('diagonal') ?? 0);
  const side = self.numel + Math.abs(offset);
  const fits = self.ndim === 1 ? out.ndim === 2 && out.shape.every((n) => n === side) : out.ndim === 1;
  if (fits) return undefined;
  return `out has the shape ${self.ndim === 1 ? `[${side},${side}]` : 'of one dimension'}, not [${out.shape}]`;
};

const SMALLEST: Readonly<Record<string, number>> = { int32: -(2 ** 31), int64: -(2 ** 63) };

/** Processors trap where the smallest whole number is divided by -1, since the largest is one less. A GPU does not. */
export const quotientFits: Guard = (argument) => {
  const self = argument('self');
  // Floats first: quotients of these are in every training step.
  const smallest = self instanceof Tensor ? SMALLEST[self.dtype] : undefined;
  if (!(self instanceof Tensor) || smallest === undefined || self.device !== 'cpu') return undefined;
  const other = argument('other');
  const has = (value: unknown, number: number) =>
    value instanceof Tensor
      ? value.dtype in SMALLEST && tidy(() => value.eq(number).any().item()) !== 0
      : value === number;
  if (!has(other, -1) || !has(self, smallest)) return undefined;
  return `${smallest} divided by -1 is more than ${self.dtype} holds`;
};

/** Its gradient looks at the first row. */
export const rowsForGradient: Guard = (argument) => {
  const self = argument('self');
  if (!(self instanceof Tensor) || self.shape[0] !== 0 || !self.requiresGrad) return undefined;
  return 'there is no gradient of the distances between no rows';
};

/** Channels are divided by it. */
export const positiveGroup: Guard = (argument) =>
  Number(argument('group')) >= 1 ? undefined : `group is 1 or more, not ${argument('group')}`;

/** As a whole number a step of less than 1 is 0, by which the distance is divided. */
export const wholeStep: Guard = (argument) => {
  const [step, out] = [argument('step'), argument('out')];
  const dtype = out instanceof Tensor ? out.dtype : argument('dtype');
  if (typeof step !== 'number' || typeof dtype !== 'string' || /float/.test(dtype)) return undefined;
  return Math.abs(step) >= 1 ? undefined : `steps of ${dtype} are 1 or more, not ${step}`;
};

/** Drawing is a loop that ends at a number. */
export const finite =
  (...names: string[]): Guard =>
  (argument) => {
    const name = wrongTensor(
      argument,
      names,
      (value) => value.device === 'cpu' && !value.toArray().every(isCountable),
    );
    return name === undefined ? undefined : `${name} has numbers that are not finite, or above 2^53`;
  };

const isCountable = (value: unknown) => Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER;

/** One step of a recurrent layer: weights are read as so many gates of the hidden state. */
export const gates =
  (count: number): Guard =>
  (argument) => {
    const hx = [argument('hx')].flat()[0];
    const hidden = hx instanceof Tensor ? (hx.shape.at(-1) ?? 0) : 0;
    const names = ['wIh', 'wHh', 'bIh', 'bHh'];
    const name = wrongTensor(argument, names, ({ shape }) => shape[0] !== count * hidden);
    if (name === undefined) return undefined;
    const { shape } = argument(name) as Tensor;
    return `${name} has ${count * hidden} rows, ${count} for each of ${hidden} hidden values, not the shape [${shape}]`;
  };

/** What the call writes to beside its arguments: of its own memory, by strides. */
export const writable = (names: readonly string[]): Guard => all(strided(...names), unexpanded(...names));

/** Of a sparse tensor without dimensions libtorch reads the first of them. */
export const permutedByStrides: Guard = (argument) => {
  const self = argument('self');
  if (!(self instanceof Tensor) || self.ndim > 0) return undefined;
  return strided('self')(argument);
};

/** The lists `names` must be as long as `self`. */
export const asLong =
  (...names: string[]): Guard =>
  (argument) => {
    const length = (argument('self') as unknown[]).length;
    const name = names.find((key) => {
      const value = argument(key);
      return Array.isArray(value) && value.length !== length;
    });
    if (name === undefined) return undefined;
    return `${name} has ${(argument(name) as unknown[]).length} entries for the ${length} of self`;
  };

/** A table of rows, and which of them: libtorch counts neither the dimensions nor, in all forms, the rows. */
export const rowsOfTable: Guard = (argument) => {
  const [weight, indices, offsets] = ['weight', 'indices', 'offsets'].map((name) => argument(name) as Tensor);
  if (weight!.ndim !== 2 || indices!.ndim !== 1 || offsets!.ndim !== 1) {
    const shapes = [weight, indices, offsets].map((tensor) => `[${tensor!.shape}]`).join(', ');
    return `weight, indices and offsets have 2, 1 and 1 dimensions, not the shapes ${shapes}`;
  }
  if (indices!.device !== 'cpu' || /^float|^bfloat/.test(indices!.dtype)) return undefined;
  const rows = weight!.shape[0]!;
  const wrong = [...indices!.toArray()].find((row) => Number(row) < 0 || Number(row) >= rows);
  if (wrong !== undefined) return `there is no row ${wrong} in a table of ${rows}`;
  const mode = argument('mode') ?? 0;
  if (![0, 1, 2].includes(Number(mode))) return `mode is 0 (sum), 1 (mean) or 2 (max), not ${mode}`;
  if (offsets!.device !== 'cpu' || /^float|^bfloat/.test(offsets!.dtype)) return undefined;
  const begins = [...offsets!.toArray()].map(Number);
  const count = indices!.numel;
  const at = begins.findIndex((begin, i) =>
    i === 0 ? begin !== 0 : begin < begins[i - 1]! || begin > count,
  );
  if (at >= 0)
    return `offsets rise from 0 to at most ${count}, the number of indices, and number ${at} is ${begins[at]}`;
  if (!argument('includeLastOffset') || begins.at(-1) === count) return undefined;
  return `with includeLastOffset the last of offsets is ${count}, the number of indices, not ${begins.at(-1)}`;
};

/** Some hundred MB of tensors, however small each is. */
const MOST_PARTS = 2 ** 20;

function listOf(parts: number): string | undefined {
  return parts > MOST_PARTS ? `a list of ${parts} tensors would take gigabytes: at most 2^20` : undefined;
}

/** As many parts come out as are asked for, also of nothing. */
export const boundedParts: Guard = (argument) => {
  const sections = argument('tensorIndicesOrSections');
  const asked = [
    argument('chunks'),
    argument('sections'),
    sections instanceof Tensor && sections.ndim === 0 ? sections : undefined,
  ];
  return listOf(Math.max(...asked.map(largest)));
};

/** As many parts come out as the dimension has, or as pieces of it. */
export const boundedPieces: Guard = (argument) => {
  const [self, dim, size] = [argument('self'), argument('dim') ?? 0, argument('splitSize') ?? 1];
  if (!(self instanceof Tensor) || typeof dim !== 'number' || typeof size !== 'number') return undefined;
  return listOf(Math.ceil((self.shape.at(dim) ?? 0) / Math.max(1, size)));
};

/** Without `dim` every dimension of `self` needs a step, or coordinates, of its own. */
export const coordinatesForEach: Guard = (argument) => {
  const [self, spacing, dim] = [argument('self'), argument('spacing'), argument('dim')];
  if (!(self instanceof Tensor) || !Array.isArray(spacing) || (dim !== undefined && dim !== null))
    return undefined;
  if (spacing.length === self.ndim) return undefined;
  return `spacing has ${spacing.length} entries for the ${self.ndim} dimensions of self: one for each, or dim`;
};

/** It does not look whether `out` lies in the memory of what it reads. */
export const noOutput: Guard = (argument) =>
  argument('out') instanceof Tensor
    ? 'its out is not told apart from self: out.copy_(self.narrow(dim, start, length)) does the same'
    : undefined;

/** The largest number in a scalar or tensor; NaN where it cannot be read. */
function largest(value: unknown): number {
  if (typeof value === 'number') return value;
  if (!(value instanceof Tensor) || value.numel === 0) return 0;
  let most = 0;
  for (const item of value.toArray()) most = Math.max(most, Number(item) || 0);
  return most;
}

export const boundedOrder: Guard = (argument) => {
  const [x, n] = [argument('x'), argument('n')];
  const elements = Math.max(...[x, n].map((value) => (value instanceof Tensor ? value.numel : 1)));
  const order = largest(n);
  if (order * elements <= MOST_STEPS) return undefined;
  return `a polynomial of order ${order} for ${elements} elements would take too long: at most 2^30 steps`;
};
