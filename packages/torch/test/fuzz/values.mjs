// The values that a description in arguments.mjs stands for.

/** What makes values for the bridge that `torch` is. */
export function makerOf(torch) {
  const { ops, tensor, Generator } = torch;
  const generator = new Generator(1);
  const disposed = torch.ones([2]);
  disposed.dispose();

  const isFloat = (dtype) => dtype.startsWith('float') || dtype === 'bfloat16';

  function makeTensor({ shape, dtype, fill, layout, exotic: kind, requiresGrad, seed }) {
    const held = [...shape];
    if (layout === 'strided' && held.length > 0) held[held.length - 1] *= 2;
    if (layout === 'offset') held.unshift(2);
    if (layout === 'expanded') held.fill(1);
    if (layout === 'transposed') held.reverse();
    const n = held.reduce((a, b) => a * b, 1);
    const value = fills[fill];
    const numbers = new Array(n);
    for (let i = 0; i < n; i++) {
      const drawn = value(i, seed);
      numbers[i] = isFloat(dtype) ? drawn : Number.isFinite(drawn) ? Math.trunc(drawn) : 0;
    }
    // Over libtorch's own memory, as nearly all tensors are.
    let made = tensor(numbers, { dtype }).view(held).clone();
    if (layout === 'strided' && held.length > 0) made = made.slice(-1, 0, null, 2);
    if (layout === 'offset') made = made.select(0, 1);
    if (layout === 'expanded') made = made.expand(shape);
    if (layout === 'transposed') made = made.permute(held.map((_, i) => held.length - 1 - i));
    if (layout === 'channelsLast' && held.length === 4)
      made = made.contiguous({ memoryFormat: 'channelsLast' });
    if (kind !== '') return exotic(made, kind);
    return requiresGrad && isFloat(made.dtype) ? made.detach().requiresGrad_() : made;
  }

  /** Of the kind, where a plain tensor has that form. */
  function exotic(plain, kind) {
    try {
      return exotics[kind](plain);
    } catch {
      return plain;
    }
  }

  const complex = (x) => ops.complex(x.to('float32'), x.to('float32'));
  const exotics = {
    sparse: (x) => x.toSparse(),
    csr: (x) => x.toSparseCsr(),
    mkldnn: (x) => x.to('float32').toMkldnn(),
    quantized: (x) => ops.quantizePerTensorDynamic(x.to('float32'), 'float32', false),
    perChannel: (x) => ops._makePerTensorQuantizedTensor(x.to('int8'), 0.1, 2),
    meta: (x) => x.to('meta', x.dtype),
    complex,
    conjugate: (x) => complex(x).conj(),
    negative: (x) => x._negView(),
  };

  const views = {
    whole: (x) => x,
    reversed: (x) => x.permute(x.shape.map((_, i) => x.ndim - 1 - i)),
    shifted: (x) => (x.ndim > 0 && x.shape[0] > 1 ? x.slice(0, 1) : x),
    first: (x) => (x.ndim > 0 && x.shape[0] > 0 ? x.select(0, 0).expand(x.shape) : x),
  };

  const oddities = {
    generator: () => generator,
    disposed: () => disposed,
    function: () => () => 1,
    symbol: () => Symbol('s'),
    bigint: () => 5n,
    object: () => ({ dim: 1, nonsense: 2 }),
    bytes: () => new Float32Array(4),
    proxy: () => new Proxy([1, 2], {}),
    getter: () => Object.defineProperty([1, 2, 3], 1, { get: () => ops.ones([2], {}).numel }),
    date: () => new Date(0),
    long: () => new Array(20000).fill(1),
  };

  function make(described, before) {
    if (Array.isArray(described)) return described.map((item) => make(item, before));
    if (typeof described !== 'object' || described === null) return described;
    if (described.kind === 'tensor') return makeTensor(described);
    if (described.kind === 'again') return views[described.view](before[described.of]);
    if (described.kind === 'number') return Number(described.value);
    return oddities[described.kind]();
  }

  /** The arguments as a program gives them: by position as far as nothing is left out, then by name. */
  return function argumentsOf(overload, values) {
    const made = [];
    for (const value of values) made.push(make(value, made));
    const positional = [];
    const named = {};
    let hasGap = false;
    for (const [i, { name, keywordOnly }] of overload.arguments.entries()) {
      hasGap ||= keywordOnly || made[i] === undefined;
      if (made[i] === undefined) continue;
      if (hasGap) named[name] = made[i];
      else positional.push(made[i]);
    }
    return Object.keys(named).length > 0 ? [...positional, named] : positional;
  };
}

const extremes = [0, -1, Number.NaN, Infinity, -Infinity, 1e38, -1e9, 100, 2 ** 31, -5];
const fills = {
  normal: (i, seed) => Math.sin(i * 12.9 + seed) * 2,
  positive: (i, seed) => 0.5 + Math.abs(Math.sin(i + seed)),
  index: (i, seed) => (i * 7 + seed) % 3,
  extreme: (i, seed) => extremes[(i + seed) % extremes.length],
  zeros: () => 0,
};

/** JSON that keeps NaN, the infinities and what is left out. */
export const written = (value) =>
  JSON.stringify(value, (_key, item) => {
    if (item === undefined) return { kind: 'left' };
    return typeof item === 'number' && !Number.isFinite(item)
      ? { kind: 'number', value: String(item) }
      : item;
  });

export const read = (text) => {
  const revive = (value) => {
    if (Array.isArray(value)) return value.map(revive);
    if (typeof value !== 'object' || value === null) return value;
    if (value.kind === 'left') return undefined;
    if (value.kind === 'number') return Number(value.value);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]));
  };
  return revive(JSON.parse(text));
};

/** A call as a person would write it. */
export function shown(name, { values, grad }) {
  const show = (value) => {
    if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
    if (typeof value === 'string')
      return JSON.stringify(value.length > 20 ? `${value.slice(0, 20)}...` : value);
    if (typeof value !== 'object' || value === null) return String(value);
    if (value.kind === 'again') return `${value.view} of argument ${value.of + 1}`;
    if (value.kind !== 'tensor') return value.kind;
    const { dtype, shape, fill, layout, exotic, requiresGrad } = value;
    const more = [layout === 'contiguous' ? '' : layout, exotic, requiresGrad ? 'grad' : ''].filter(Boolean);
    return `${dtype}[${shape}] ${[fill, ...more].join(' ')}`;
  };
  const given = values.map((value) => (value === undefined ? '-' : show(value)));
  return `${name}(${given.join(', ')})${grad > 0 ? ` and ${grad} times backward` : ''}`;
}
