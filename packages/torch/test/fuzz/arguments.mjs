// Arguments of a call as plain values, by the types and names in the operator's schema: mostly such that it may run, with
// edges among them. A call that ran is varied further in `vary`.

export const dtypes = [
  'float32',
  'float64',
  'int64',
  'int32',
  'uint8',
  'int8',
  'int16',
  'bool',
  'float16',
  'bfloat16',
];
const devices = ['meta', 'cuda', 'cuda:7', 'lazy', 'mkldnn', 'vulkan', 'xla:1', 'privateuseone', 'nonsense'];
const layouts = ['transposed', 'expanded', 'strided', 'offset', 'channelsLast'];
const exotics = [
  'sparse',
  'csr',
  'mkldnn',
  'quantized',
  'perChannel',
  'meta',
  'complex',
  'conjugate',
  'negative',
];
const fills = ['normal', 'normal', 'positive', 'index', 'extreme', 'zeros'];
const hugeInts = [2 ** 31 - 1, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, -(2 ** 53) + 1, 2 ** 40, 65536, 100, -100];
const edgeNumbers = [Number.NaN, Infinity, -Infinity, 1e300, -1e-300, 1e38, 0, -1];
const texts = [
  '',
  'floor',
  'trunc',
  'zeros',
  'none',
  'tanh',
  'ij',
  'xy',
  'linear',
  'lower',
  'nearest',
  'reduced',
  'complete',
  'fro',
  'nuc',
  'left',
  'right',
  'L',
  'U',
  'N',
  'R',
  'gelsd',
  'i,j->ij',
  'ij,jk',
  'bij,bjk->bik',
  '...',
  'ii',
  '\0',
  'x'.repeat(5000),
  '\ud800',
];
const textsByName = {
  reduce: ['sum', 'prod', 'mean', 'amax', 'amin', 'add', 'multiply', 'max'],
  mode: ['constant', 'reflect', 'replicate', 'circular', 'reduced', 'complete'],
  roundingMode: ['floor', 'trunc'],
  padMode: ['constant', 'reflect', 'replicate', 'circular'],
  interpolation: ['linear', 'lower', 'higher', 'midpoint', 'nearest'],
};
const isIndex =
  /^(ind|index|indices|target|targets|offsets|offset2bag|bagSize|rowIndices|crowIndices|colIndices|ccolIndices|label|labels|lengths|batchSizes|repeats|boundaries|inputLengths|targetLengths|pivots|LUPivots|cuSeqlensQ|cuSeqlensK|maximumIndices|bucket)$/i;
const isVector =
  /^(bias|runningMean|runningVar|saveMean|saveInvstd|saveVar|mean|invstd|rstd|scale|scales|zeroPoint|zeroPoints|counts|count|inputBias)$/i;
const isDim = /^(dim\d?|axis|axis\d|source|destination|startDim|endDim|batchDim|dimension)$/i;

/** What the call's tensors have in common. */
function scene(random) {
  const size = () => (random.chance(0.12) ? random.pick([0, 5, 8, 16]) : random.int(1, 4));
  const rank = random.chance(0.08) ? 0 : random.int(1, 5);
  return {
    shape: Array.from({ length: rank }, size),
    dtype: random.chance(0.7) ? random.pick(['float32', 'float64']) : random.pick(dtypes),
    isWild: random.chance(0.08),
    size,
  };
}

/** The arguments of one call: a value each, or undefined where it is left out; `grad` is how often it is differentiated. */
export function describe(overload, random) {
  const common = scene(random);
  const values = [];
  for (const argument of overload.arguments) {
    values.push(describeOne(argument, common, random, values));
  }
  return { values, grad: random.pick([0, 1, 2]) };
}

function describeOne(argument, common, random, before) {
  const isOptional = argument.type.endsWith('?');
  if (argument.hasDefault && random.chance(0.4)) return undefined;
  if (isOptional && random.chance(0.25)) return null;
  if (common.isWild && random.chance(0.2)) return wrong(common, random);
  const make = byType[argument.type.replace(/\?$/, '')];
  return make === undefined ? wrong(common, random) : make(argument, common, random, before);
}

function tensorSpec({ name, written }, common, random, before) {
  const earlier = before.findIndex((value) => value?.kind === 'tensor');
  if (earlier >= 0 && random.chance(written ? 0.1 : 0.03)) {
    return { kind: 'again', of: earlier, view: random.pick(['whole', 'reversed', 'shifted', 'first']) };
  }
  const index = isIndex.test(name) ? random.chance(0.8) : random.chance(0.06);
  return {
    kind: 'tensor',
    shape: shapeFor(name, common, random),
    dtype: index ? 'int64' : random.chance(0.12) ? random.pick(dtypes) : common.dtype,
    fill: index && random.chance(0.85) ? 'index' : random.pick(fills),
    layout: random.chance(0.75) ? 'contiguous' : random.pick(layouts),
    exotic: random.chance(0.03) ? random.pick(exotics) : '',
    requiresGrad: random.chance(0.4),
    seed: random.int(0, 999),
  };
}

function shapeFor(name, { shape: base, size }, random) {
  const channel = base[1] ?? 2;
  if (isVector.test(name) && random.chance(0.8)) return [random.chance(0.6) ? channel : (base.at(-1) ?? 2)];
  if (/^weight/.test(name) && random.chance(0.6)) {
    const kernel = base.slice(2).map(() => random.int(1, 3));
    return random.pick([
      [random.int(1, 3), channel, ...kernel],
      [channel],
      [random.int(1, 4), base.at(-1) ?? 2],
    ]);
  }
  if (random.chance(0.55)) return [...base];
  switch (random.int(0, 9)) {
    case 0:
      return base.slice(-1);
    case 1:
      return base.slice(0, 1);
    case 2:
      return base.slice(1, 2);
    case 3:
      return [];
    case 4:
      return base.map((n, i) => (i % 2 ? n : 1));
    case 5:
      return [base.at(-1) ?? 2, base.at(-1) ?? 2];
    case 6:
      return base.slice(1);
    case 7:
      return [2, ...base];
    case 8:
      return base.length > 1 ? [...base.slice(0, -2), base.at(-1), base.at(-2)] : [...base, ...base];
    default:
      return random.list(0, 5, size);
  }
}

function int({ name }, { shape }, random) {
  if (isDim.test(name) && random.chance(0.9)) {
    const rank = Math.max(1, shape.length);
    return random.int(-rank, rank - 1);
  }
  if (random.chance(0.05)) return random.pick(hugeInts);
  return random.chance(0.85) ? random.int(0, 3) : random.int(-3, 8);
}

function intList(argument, common, random) {
  const { name, size = 0 } = argument;
  const { shape } = common;
  if (isDim.test(name) || name === 'dims') {
    if (random.chance(0.3)) return shape.map((_, i) => i);
    return random.list(0, 3, () => int({ name: 'dim' }, common, random));
  }
  if (/size|shape/i.test(name) && random.chance(0.5)) return [...shape];
  const kernel = /kernel|stride|dilation|outputSize/i.test(name) || name === 'size';
  const spatial = Math.max(0, shape.length - 2);
  const length = random.chance(0.85)
    ? size || random.pick([spatial, spatial, 1, 2, 2 * spatial])
    : random.int(0, 6);
  return Array.from({ length }, () =>
    random.chance(0.04)
      ? random.pick(hugeInts)
      : kernel
        ? random.int(random.chance(0.1) ? -1 : 1, 3)
        : random.int(0, 2),
  );
}

function number(_argument, _common, random) {
  if (random.chance(0.12)) return random.pick(edgeNumbers);
  return random.chance(0.6) ? random.pick([0, 1, 0.5, 1e-5, 2, -1]) : random.next() * 20 - 10;
}

function scalar(argument, common, random) {
  const kind = random.int(0, 4);
  if (kind === 0) return random.chance(0.5);
  return kind < 3 ? int(argument, common, random) : number(argument, common, random);
}

const text = ({ name }, _common, random) =>
  random.pick(textsByName[name] !== undefined && random.chance(0.8) ? textsByName[name] : texts);

const several = (low, high, make) => (argument, common, random, before) =>
  random.list(low, high, () => make(argument, common, random, before));

const byType = {
  Tensor: tensorSpec,
  'Tensor[]': several(0, 4, (argument, common, random) => tensorSpec(argument, common, random, [])),
  'Tensor?[]': several(0, 4, (argument, common, random) =>
    random.chance(0.3) ? null : tensorSpec({ ...argument, name: 'indices' }, common, random, []),
  ),
  int,
  SymInt: int,
  'int[]': intList,
  'SymInt[]': intList,
  float: number,
  'float[]': several(0, 5, number),
  bool: (_argument, _common, random) => random.chance(0.5),
  'bool[]': ({ size = 0 }, _common, random) =>
    Array.from({ length: size || random.int(0, 5) }, () => random.chance(0.7)),
  Scalar: scalar,
  'Scalar[]': several(0, 4, scalar),
  str: text,
  ScalarType: (_argument, common, random) => (random.chance(0.5) ? common.dtype : random.pick(dtypes)),
  Layout: () => 'strided',
  MemoryFormat: (_argument, _common, random) =>
    random.pick(['contiguous', 'preserve', 'channelsLast', 'channelsLast3d']),
  Device: (_argument, _common, random) => (random.chance(0.7) ? 'cpu' : random.pick(devices)),
  Generator: () => ({ kind: 'generator' }),
};

const oddities = [
  'disposed',
  'function',
  'symbol',
  'bigint',
  'object',
  'bytes',
  'proxy',
  'getter',
  'date',
  'long',
];

/** A value of a kind that the schema does not ask for. */
function wrong(common, random) {
  const argument = { name: '' };
  switch (random.int(0, 5)) {
    case 0:
      return scalar(argument, common, random);
    case 1:
      return text(argument, common, random);
    case 2:
      return intList(argument, common, random);
    case 3:
      return tensorSpec(argument, common, random, []);
    case 4:
      return null;
    default:
      return { kind: random.pick(oddities) };
  }
}

/** A call that ran, with one or two of its arguments at an edge. */
export function vary(call, overload, random) {
  const values = structuredClone(call.values);
  const common = scene(random);
  for (let n = random.int(1, 2); n > 0 && values.length > 0; n--) {
    const at = random.int(0, values.length - 1);
    values[at] = varyOne(values[at], overload.arguments[at], common, random, values.slice(0, at));
  }
  return { values, grad: random.pick([0, 1, 2]) };
}

function varyOne(value, argument, common, random, before) {
  if (value?.kind === 'tensor') return varyTensor(value, argument, common, random, before);
  if (typeof value === 'number') {
    if (Number.isInteger(value) && random.chance(0.5))
      return random.pick([value + 1, value - 1, -value, 0, ...hugeInts]);
    if (/^(float|Scalar)/.test(argument.type)) return random.pick([...edgeNumbers, value / 3]);
  }
  if (Array.isArray(value) && value.length > 0 && random.chance(0.8)) {
    const varied = [...value];
    const at = random.int(0, value.length - 1);
    if (random.chance(0.2)) varied.splice(at, random.int(0, 1), varied[at]);
    else
      varied[at] = varyOne(
        value[at],
        { ...argument, type: argument.type.replace(/\??\[\]\??$/, '') },
        common,
        random,
        [],
      );
    return varied;
  }
  return describeOne(argument, common, random, before);
}

function varyTensor(spec, argument, common, random, before) {
  const shape = [...spec.shape];
  const at = random.int(0, Math.max(0, shape.length - 1));
  switch (random.int(0, 9)) {
    case 0:
      if (shape.length > 0) shape[at] = 0;
      return { ...spec, shape };
    case 1:
      if (shape.length > 0) shape[at] += random.pick([1, -1, 7]) * (shape[at] > 0 ? 1 : 0);
      return { ...spec, shape: shape.map((n) => Math.max(0, n)) };
    case 2:
      shape.splice(at, 1);
      return { ...spec, shape };
    case 3:
      shape.splice(at, 0, random.int(1, 3));
      return { ...spec, shape };
    case 4:
      return { ...spec, dtype: random.pick(dtypes) };
    case 5:
      return { ...spec, layout: random.pick(layouts) };
    case 6:
      return { ...spec, exotic: random.pick(exotics) };
    case 7:
      return { ...spec, fill: random.pick(fills), seed: spec.seed + 1 };
    case 8:
      return { ...spec, dtype: 'int64', fill: random.pick(['index', 'extreme']) };
    default:
      return tensorSpec(argument, common, random, before);
  }
}

/** Calls that are a little simpler than this one, the simplest first. */
export function* simpler({ values, grad }, overload) {
  if (grad > 0) yield { values, grad: 0 };
  for (const [i, value] of values.entries()) {
    const having = (changed) => ({ values: values.with(i, changed), grad });
    if (value !== undefined && overload.arguments[i].hasDefault) yield having(undefined);
    if (value?.kind === 'tensor') {
      const plain = { ...value, layout: 'contiguous', exotic: '', requiresGrad: false, seed: 0 };
      if (JSON.stringify(plain) !== JSON.stringify(value)) yield having(plain);
      if (value.fill !== 'zeros') yield having({ ...value, fill: 'zeros' });
      if (value.dtype !== 'float32') yield having({ ...value, dtype: 'float32' });
      if (value.shape.length > 1) yield having({ ...value, shape: value.shape.slice(1) });
      if (value.shape.some((n) => n > 2))
        yield having({ ...value, shape: value.shape.map((n) => Math.min(n, 2)) });
    } else if (Array.isArray(value) && value.length > 1) {
      yield having(value.slice(0, 1));
    } else if (typeof value === 'number' && value !== 0 && value !== 1) {
      yield having(value < 0 ? -1 : 1);
    }
  }
}
