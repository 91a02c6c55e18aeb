// Calls every operator with random arguments of right and wrong kinds, in a child process, and reports the calls
// that kill it. Runs what `tsc -b` built.
//
//   node packages/torch/test/fuzz/fuzz.mjs --calls 100000 --seed 1 [--operator NAME] [--from K] [--restarts 1000]
//
// Call K of a seed is always the same call, so `--from K --calls 1` repeats one.

import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import fc from 'fast-check';

const { values: flags } = parseArgs({
  options: {
    calls: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    operator: { type: 'string', default: '' },
    restarts: { type: 'string', default: '0' },
    log: { type: 'string' },
  },
});
const calls = Number(flags.calls);
const seed = Number(flags.seed);
const last = Number(flags.from) + calls;

/** A call that is still running after this is reported like one that crashed. */
const HANG_SECONDS = Number(process.env.HANG ?? 20);
const MEMORY_KIB = 6 * 2 ** 20;

if (flags.log === undefined) await drive();
else await call(flags.log);

// ---- the parent ----

async function drive() {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const log = join(folder, 'call');
  const deaths = [];
  let from = Number(flags.from);
  const summary = {};
  while (from < last) {
    const ended = await runChild(from, folder, log);
    for (const [key, n] of Object.entries(ended.summary ?? {})) summary[key] = (summary[key] ?? 0) + n;
    if (ended.summary) break;
    const [at, name] = readFileSync(log, 'utf8').split(' ');
    deaths.push(`${ended.how} call ${at} ${name}`);
    console.log(deaths.at(-1));
    if (ended.stderr) console.log(ended.stderr.trim().split('\n').slice(-3).join('\n'));
    if (deaths.length > Number(flags.restarts)) break;
    from = Number(at) + 1;
  }
  rmSync(folder, { recursive: true, force: true });
  console.log(JSON.stringify({ seed, ...summary, deaths: deaths.length }));
  process.exitCode = deaths.length === 0 ? 0 : 1;
}

function runChild(from, folder, log) {
  writeFileSync(log, '');
  return new Promise((resolve) => {
    const args = ['--from', from, '--calls', last - from, '--seed', seed, '--log', log];
    const command = [
      process.execPath,
      fileURLToPath(import.meta.url),
      ...args.map(String),
      '--operator',
      flags.operator,
    ];
    // A result of 2 ** 32 elements has to be refused by the system here, not filled.
    const child = spawn('sh', ['-c', `ulimit -v ${MEMORY_KIB} && exec "$@"`, 'sh', ...command], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    let seen = '';
    let hung = false;
    const watch = setInterval(() => {
      const now = readFileSync(log, 'utf8');
      if (now === seen && now !== '') {
        hung = true;
        child.kill('SIGKILL');
      }
      seen = now;
    }, HANG_SECONDS * 1000);
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      stderr = (stderr + text).slice(-4000);
    });
    child.on('close', (code, signal) => {
      clearInterval(watch);
      if (code === 0) resolve({ summary: JSON.parse(stdout.trim().split('\n').at(-1)) });
      else resolve({ how: hung ? 'hang' : (signal ?? `exit ${code}`), stderr });
    });
  });
}

// ---- the child ----

async function call(log) {
  const torch = await import('../../dist/index.js');
  const { native } = await import('../../dist/native.js');
  const { ops, tensor, Tensor, tidy, Generator, liveTensors } = torch;
  const file = openSync(log, 'w+');
  torch.setNumThreads(1);

  const dtypes = [
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
  const disposed = torch.ones([2]);
  disposed.dispose();
  const generator = new Generator(1);

  // ---- what arguments may be: descriptions first, so that a call is made of plain values ----

  const size = fc.oneof(
    { arbitrary: fc.integer({ min: 1, max: 4 }), weight: 12 },
    fc.constantFrom(0, 5, 8, 16),
  );
  const shape = fc.array(size, { maxLength: 5 });
  const scene = fc.record({
    shape: fc.oneof({ arbitrary: fc.array(size, { minLength: 1, maxLength: 5 }), weight: 8 }, shape),
    dtype: fc.oneof(
      { arbitrary: fc.constantFrom('float32', 'float64'), weight: 4 },
      fc.constantFrom(...dtypes),
    ),
    /** How often arguments are of the wrong kind. */
    wild: fc.boolean(),
  });
  const tensorSpec = fc.record({
    kind: fc.constant('tensor'),
    relation: fc.oneof(
      { arbitrary: fc.constant('same'), weight: 6 },
      fc.constantFrom('own', 'last', 'first', 'second', 'scalar', 'broadcast', 'matrix', 'dropped', 'added'),
    ),
    shape,
    dtype: fc.option(fc.constantFrom(...dtypes), { freq: 4 }),
    values: fc.constantFrom('normal', 'normal', 'positive', 'index', 'index', 'extreme', 'zeros'),
    layout: fc.oneof(
      { arbitrary: fc.constant('contiguous'), weight: 6 },
      fc.constantFrom('transposed', 'expanded', 'strided', 'offset', 'channelsLast'),
    ),
    exotic: fc.oneof(
      { arbitrary: fc.constant(''), weight: 40 },
      fc.constantFrom(
        'sparse',
        'csr',
        'mkldnn',
        'quantized',
        'perChannel',
        'meta',
        'complex',
        'conjugate',
        'negative',
      ),
    ),
    requiresGrad: fc.boolean(),
    seed: fc.nat(1000),
  });
  const hugeInt = fc.constantFrom(
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 32,
    2 ** 53 - 1,
    -(2 ** 53) + 1,
    2 ** 40,
    1e6,
    1e9,
    65536,
  );
  const int = fc.oneof(
    { arbitrary: fc.integer({ min: -3, max: 6 }), weight: 10 },
    { arbitrary: fc.constantFrom(0, 1), weight: 10 },
    fc.integer({ min: -100, max: 100 }),
    hugeInt,
  );
  const double = fc.oneof(
    { arbitrary: fc.constantFrom(0, 1, 0.5, 1e-5, 2, -1), weight: 8 },
    fc.double({ min: -10, max: 10 }),
    fc.constantFrom(Number.NaN, Infinity, -Infinity, 1e300, -1e-300, 1e38),
  );
  const scalar = fc.oneof(int, double, fc.boolean());
  const text = fc.constantFrom(
    '',
    'mean',
    'sum',
    'none',
    'floor',
    'trunc',
    'zeros',
    'reflect',
    'bilinear',
    'tanh',
    'ij',
    'xy',
    'linear',
    'reduced',
    'amax',
    'prod',
    'i,j->ij',
    'ij,jk',
    'bij,bjk->bik',
    '...',
    'fro',
    'nuc',
    'left',
    'right',
    'L',
    'U',
    'N',
    '\0',
    'x'.repeat(5000),
    '\ud800',
  );
  const intList = fc.oneof(
    { arbitrary: fc.array(int, { maxLength: 6 }), weight: 2 },
    fc.constant({ kind: 'sizes' }),
    fc.constant({ kind: 'dims' }),
  );
  /** A list of the length that the schema names, as often as not. */
  const sized = (item, n) =>
    n > 0
      ? fc.oneof({ arbitrary: fc.array(item, { minLength: n, maxLength: n }), weight: 6 }, intList)
      : intList;
  const forType = {
    Tensor: () => tensorSpec,
    'Tensor[]': () => fc.array(tensorSpec, { maxLength: 4 }),
    'Tensor?[]': () => fc.array(fc.option(tensorSpec), { maxLength: 4 }),
    int: () => int,
    SymInt: () => int,
    'int[]': (n) => sized(int, n),
    'SymInt[]': (n) => sized(int, n),
    float: () => double,
    'float[]': () => fc.array(double, { maxLength: 5 }),
    bool: () => fc.boolean(),
    'bool[]': (n) =>
      n > 0
        ? fc.array(fc.boolean(), { minLength: n, maxLength: n })
        : fc.array(fc.boolean(), { maxLength: 5 }),
    Scalar: () => scalar,
    'Scalar[]': () => fc.array(scalar, { maxLength: 5 }),
    str: () => text,
    ScalarType: () => fc.constantFrom(...dtypes),
    Layout: () => fc.constant('strided'),
    MemoryFormat: () => fc.constantFrom('contiguous', 'preserve', 'channelsLast', 'channelsLast3d'),
    Device: () =>
      fc.oneof(
        { arbitrary: fc.constant('cpu'), weight: 6 },
        fc.constantFrom(
          'meta',
          'cuda',
          'cuda:7',
          'lazy',
          'mkldnn',
          'vulkan',
          'xla:1',
          'privateuseone',
          'nonsense',
        ),
      ),
    Generator: () => fc.constant({ kind: 'generator' }),
  };
  const wrong = fc.oneof(
    scalar,
    text,
    intList,
    tensorSpec,
    fc.array(tensorSpec, { maxLength: 3 }),
    fc.constantFrom(null, undefined),
    fc.constantFrom(
      { kind: 'disposed' },
      { kind: 'function' },
      { kind: 'symbol' },
      { kind: 'bigint' },
      { kind: 'object' },
      { kind: 'bytes' },
      { kind: 'proxy' },
      { kind: 'getter' },
      { kind: 'date' },
      { kind: 'generator' },
      { kind: 'long' },
    ),
    fc.array(fc.oneof(int, text, fc.constant({ kind: 'disposed' }))),
  );

  /** The arguments of one overload: [value, present by name] and a chance of a wrong one for each. */
  function argumentsOf(overload) {
    const each = overload.arguments.map((argument) => {
      const make = forType[argument.type.replace(/\?$/, '')];
      const right = make === undefined ? wrong : make(argument.size ?? 0);
      const may = argument.type.endsWith('?') ? fc.option(right, { freq: 4 }) : right;
      return fc.record({
        value: may,
        wrong: fc.oneof({ arbitrary: fc.constant(undefined), weight: 12 }, fc.record({ value: wrong })),
        left: argument.hasDefault
          ? fc.constantFrom(0, 0, 1)
          : fc.oneof({ arbitrary: fc.constant(0), weight: 30 }, fc.constant(1)),
      });
    });
    return fc.record({ scene, each: fc.tuple(...each), grad: fc.boolean() });
  }

  // ---- and the values that they describe ----

  function shapeFor(spec, base) {
    switch (spec.relation) {
      case 'same':
        return base;
      case 'last':
        return base.slice(-1);
      case 'first':
        return base.slice(0, 1);
      case 'second':
        return base.slice(1, 2);
      case 'scalar':
        return [];
      case 'broadcast':
        return base.map((n, i) => (i % 2 ? n : 1));
      case 'matrix':
        return [base.at(-1) ?? 2, base.at(-1) ?? 2];
      case 'dropped':
        return base.slice(1);
      case 'added':
        return [2, ...base];
      default:
        return spec.shape;
    }
  }

  function makeTensor(spec, { shape: base, dtype: common }) {
    const dtype = spec.dtype ?? (spec.values === 'index' && spec.seed % 2 ? 'int64' : common);
    const wanted = shapeFor(spec, base);
    const held = [...wanted];
    if (spec.layout === 'strided' && held.length > 0) held[held.length - 1] *= 2;
    if (spec.layout === 'offset') held.unshift(2);
    if (spec.layout === 'expanded') held.fill(1);
    if (spec.layout === 'transposed') held.reverse();
    const n = held.reduce((a, b) => a * b, 1);
    const value = {
      normal: (i) => Math.sin(i * 12.9 + spec.seed) * 2,
      positive: (i) => 0.5 + Math.abs(Math.sin(i + spec.seed)),
      index: (i) => (i * 7 + spec.seed) % 3,
      extreme: (i) =>
        [0, -1, Number.NaN, Infinity, -Infinity, 1e38, -1e9, 100, 2 ** 31, -5][(i + spec.seed) % 10],
      zeros: () => 0,
    }[spec.values];
    const safe = (x) => (Number.isFinite(x) ? Math.trunc(x) : 0);
    const numbers = Array.from({ length: n }, (_, i) =>
      dtype.startsWith('float') || dtype === 'bfloat16' ? value(i) : safe(value(i)),
    );
    // Over libtorch's own memory, as nearly all tensors are.
    let made = tensor(numbers, { dtype }).view(held).clone();
    if (spec.layout === 'strided' && held.length > 0) made = made.slice(-1, 0, null, 2);
    if (spec.layout === 'offset') made = made.select(0, 1);
    if (spec.layout === 'expanded') made = made.expand(wanted);
    if (spec.layout === 'transposed') made = made.permute(held.map((_, i) => held.length - 1 - i));
    if (spec.layout === 'channelsLast' && held.length === 4)
      made = made.contiguous({ memoryFormat: 'channelsLast' });
    made = exotic(made, spec.exotic);
    if (spec.requiresGrad && /^(float|bfloat)/.test(made.dtype) && spec.exotic === '')
      made = made.detach().requiresGrad_();
    return made;
  }

  function exotic(plain, kind) {
    try {
      switch (kind) {
        case 'sparse':
          return plain.toSparse();
        case 'csr':
          return plain.toSparseCsr();
        case 'mkldnn':
          return plain.to('float32').toMkldnn();
        case 'quantized':
          return plain.to('float32').quantizePerTensorDynamic
            ? ops.quantizePerTensorDynamic(plain.to('float32'), 'float32', false)
            : plain;
        case 'perChannel':
          return ops._makePerTensorQuantizedTensor(plain.to('int8'), 0.1, 2);
        case 'meta':
          return plain.to('meta', plain.dtype);
        case 'complex':
          return ops.complex(plain.to('float32'), plain.to('float32'));
        case 'conjugate':
          return ops.complex(plain.to('float32'), plain.to('float32')).conj();
        case 'negative':
          return plain._negView();
      }
    } catch {}
    return plain;
  }

  function materialize(spec, scene) {
    if (Array.isArray(spec)) return spec.map((item) => materialize(item, scene));
    if (typeof spec !== 'object' || spec === null) return spec;
    const { shape } = scene;
    switch (spec.kind) {
      case 'tensor':
        return makeTensor(spec, scene);
      case 'sizes':
        return [...shape];
      case 'dims':
        return shape.map((_, i) => i);
      case 'generator':
        return generator;
      case 'disposed':
        return disposed;
      case 'function':
        return () => 1;
      case 'symbol':
        return Symbol('s');
      case 'bigint':
        return 5n;
      case 'object':
        return { dim: 1, nonsense: 2 };
      case 'bytes':
        return new Float32Array(4);
      case 'proxy':
        return new Proxy([1, 2], {});
      case 'getter':
        return Object.defineProperty([1, 2, 3], 1, { get: () => ops.ones([2], {}).numel });
      case 'date':
        return new Date(0);
      case 'long':
        return new Array(20000).fill(1);
      default:
        return spec;
    }
  }

  /** Positional as far as nothing is left out, then by name. */
  function place(overload, drawn) {
    const positional = [];
    const named = {};
    let gap = false;
    drawn.each.forEach((argument, i) => {
      const { name, keywordOnly } = overload.arguments[i];
      const described = argument.wrong && drawn.scene.wild ? argument.wrong.value : argument.value;
      gap ||= keywordOnly || argument.left === 1;
      if (argument.left === 1) return;
      const value = materialize(described, drawn.scene);
      if (gap) named[name] = value;
      else positional.push(value);
    });
    return Object.keys(named).length > 0 ? [...positional, named] : positional;
  }

  // A polynomial of degree 2^53 takes as long as it takes.
  const lengthy = /_polynomial_|mvlgamma/;
  const forms = native
    .operatorNames()
    .sort((a, b) => (a[0] < b[0] ? -1 : 1))
    .filter(
      ([qualified]) =>
        (flags.operator === '' || qualified === flags.operator || qualified === `aten::${flags.operator}`) &&
        !lengthy.test(qualified),
    )
    .flatMap(([qualified, name]) =>
      native.lookup(qualified).map((overload) => ({ qualified, name, overload })),
    );
  const arbitraries = new Map();
  const count = { calls: 0, returned: 0, typeError: 0, torchError: 0, backward: 0, live: 0 };
  const before = liveTensors();

  for (let k = Number(flags.from); k < last; k++) {
    const form = forms[(k * 7919) % forms.length];
    writeSync(file, `${k} ${form.qualified}.${form.overload.overload} `.padEnd(120), 0);
    let arbitrary = arbitraries.get(form);
    if (arbitrary === undefined) {
      arbitrary = argumentsOf(form.overload);
      arbitraries.set(form, arbitrary);
    }
    const [drawn] = fc.sample(arbitrary, { seed: (seed * 1_000_003 + k * 31) | 0, numRuns: 1 });
    if (process.env.FUZZ_SHOW) console.error(form.overload.schema, JSON.stringify(drawn));
    torch.manualSeed(k);
    count.calls++;
    tidy(() => {
      try {
        const args = place(form.overload, drawn);
        if (process.env.FUZZ_SHOW) console.error(args);
        const result = ops[form.name](...args);
        count.returned++;
        const results = [result].flat().filter((value) => value instanceof Tensor);
        for (const value of results) inspect(value);
        if (drawn.grad) differentiate(results);
      } catch (error) {
        if (error.name === 'TorchError') count.torchError++;
        else if (error instanceof TypeError) count.typeError++;
        else throw error;
      }
    });
  }
  count.live = liveTensors() - before;
  console.log(JSON.stringify(count));

  /** Reads what a result says of itself, and its elements where they have a form here. */
  function inspect(value) {
    String(value);
    if (value.numel < 1e5) {
      try {
        value.toArray();
      } catch {}
    }
  }

  function differentiate(results) {
    for (const value of results) {
      if (!value.requiresGrad || value.numel > 1e5) continue;
      value.sum().backward();
      count.backward++;
      return;
    }
  }
}
