// Every ATen operator as a function and, where its first argument is `self`, as a method of Tensor: arguments are
// checked and encoded by the operator's own schema, and the native dispatcher does the rest.

import { guards } from './argument-guards.js';
import { isDType } from './dtype.js';
import { describeArguments, describeValue, TorchError } from './errors.js';
import type { Ops } from './generated/ops.js';
import {
  BOOL,
  BOOL_LIST,
  DEFAULT,
  DEVICE,
  DONE,
  DOUBLE,
  DOUBLE_LIST,
  dtypeCodes,
  GENERATOR,
  INT,
  INT_LIST,
  layouts,
  memoryFormats,
  NONE,
  OPTIONAL_TENSOR_LIST,
  SCALAR_LIST,
  STRING,
  TENSOR,
  TENSOR_LIST,
  WAITING,
} from './generated/protocol.js';
import { Generator } from './generator.js';
import { all, type Guard, writable } from './guard-kinds.js';
import { command, growCommand, native } from './native.js';
import type { SchemaArgument, SchemaOverload } from './native-types.js';
import { Tensor } from './tensor.js';
import { unsafeOperators } from './unsafe-ops.js';

/** How a value of one schema type is written to the buffer: the next free place, or -1 if it is of another type. */
type Encoder = (value: unknown, at: number) => number;

let strings: string[] = [];

/** More doubles than the arguments of any one operator take, lists aside; a list makes room for itself and these. */
const FIXED_ROOM = 256;

/** Longer lists are refused: they are sizes, dimensions and tensors, and the buffer would take gigabytes. */
const MOST_ITEMS = 2 ** 24;

function reserve(length: number): void {
  if (length > command.length) growCommand(length);
}

function put(tag: number, value: number, at: number): number {
  command[at] = tag;
  command[at + 1] = value;
  return at + 2;
}

/** A tensor that is there, or 0: a disposed one is not looked for in another overload, it is an error. */
function handleOf(value: unknown): number {
  if (!(value instanceof Tensor)) return 0;
  if (value.handle === 0) throw new DisposedArgument();
  return value.handle;
}

class DisposedArgument extends Error {}

/** A list's item as a double, or undefined if it is of another type. */
type Item = (value: unknown) => number | undefined;

function list(tag: number, value: unknown, at: number, item: Item): number {
  if (!Array.isArray(value) || value.length > MOST_ITEMS) return -1;
  reserve(at + value.length + FIXED_ROOM);
  command[at] = tag;
  command[at + 1] = value.length;
  for (let i = 0; i < value.length; i++) {
    const number = item(value[i]);
    if (number === undefined) return -1;
    command[at + 2 + i] = number;
  }
  return at + 2 + value.length;
}

function scalar(value: unknown, at: number): number {
  if (typeof value === 'boolean') return put(BOOL, value ? 1 : 0, at);
  if (typeof value !== 'number') return -1;
  return put(Number.isSafeInteger(value) ? INT : DOUBLE, value, at);
}

const asInt = (value: unknown) => (Number.isSafeInteger(value) ? (value as number) : undefined);
const asDouble = (value: unknown) => (typeof value === 'number' ? value : undefined);
const asBool = (value: unknown) => (typeof value === 'boolean' ? Number(value) : undefined);
const asTensor = (value: unknown) => handleOf(value) || undefined;
const asOptionalTensor = (value: unknown) => (value === null || value === undefined ? 0 : asTensor(value));

const encodeInt: Encoder = (value, at) => (Number.isSafeInteger(value) ? put(INT, value as number, at) : -1);

/**
 * A list; where the schema says `int[2]`, two values, or one (a bare number, too) that stands for both. libtorch's
 * kernels read as many as the schema says without looking at the length. `int[1]` takes lists of any length.
 */
function encodeList(tag: number, { size = 0, mayBeEmpty }: SchemaArgument, item: Item): Encoder {
  return (value, at) => {
    if (size === 0) return list(tag, value, at, item);
    const given = Array.isArray(value) ? value : [value];
    if (size === 1 || given.length === size || (given.length === 0 && mayBeEmpty))
      return list(tag, given, at, item);
    return given.length === 1 ? list(tag, new Array(size).fill(given[0]), at, item) : -1;
  };
}

function oneOf(names: readonly string[]): Encoder {
  return (value, at) => {
    const index = typeof value === 'string' ? names.indexOf(value) : -1;
    return index < 0 ? -1 : put(INT, index, at);
  };
}

const encoders: Readonly<Record<string, Encoder>> = {
  Tensor: (value, at) => {
    const handle = handleOf(value);
    return handle === 0 ? -1 : put(TENSOR, handle, at);
  },
  'Tensor[]': (value, at) => list(TENSOR_LIST, value, at, asTensor),
  'Tensor?[]': (value, at) => list(OPTIONAL_TENSOR_LIST, value, at, asOptionalTensor),
  int: encodeInt,
  SymInt: encodeInt,
  float: (value, at) => (typeof value === 'number' ? put(DOUBLE, value, at) : -1),
  'float[]': (value, at) => list(DOUBLE_LIST, value, at, asDouble),
  bool: (value, at) => (typeof value === 'boolean' ? put(BOOL, value ? 1 : 0, at) : -1),
  Scalar: scalar,
  'Scalar[]': (value, at) => {
    if (!Array.isArray(value) || value.length > MOST_ITEMS) return -1;
    reserve(at + 2 * value.length + FIXED_ROOM);
    let next = put(SCALAR_LIST, value.length, at);
    for (const item of value) {
      next = scalar(item, next);
      if (next < 0) return -1;
    }
    return next;
  },
  str: (value, at) => (typeof value === 'string' ? put(STRING, strings.push(value) - 1, at) : -1),
  ScalarType: (value, at) => (isDType(value) ? put(INT, dtypeCodes[value], at) : -1),
  Layout: oneOf(layouts),
  MemoryFormat: oneOf(memoryFormats),
  Device: (value, at) =>
    typeof value === 'string' && /^[a-z]+(:\d+)?$/.test(value)
      ? put(DEVICE, strings.push(value) - 1, at)
      : -1,
  Generator: (value, at) =>
    value instanceof Generator && !value.disposed ? put(GENERATOR, value.index, at) : -1,
};

function encoderOf(argument: SchemaArgument): Encoder | undefined {
  const type = argument.type.replace(/\?$/, '');
  if (type === 'int[]' || type === 'SymInt[]') return encodeList(INT_LIST, argument, asInt);
  if (type === 'bool[]') return encodeList(BOOL_LIST, argument, asBool);
  return encoders[type];
}

const resultTypes = new Set([
  'Tensor',
  'Tensor[]',
  'int',
  'SymInt',
  'float',
  'bool',
  'Scalar',
  'int[]',
  'float[]',
]);

interface Overload {
  readonly index: number;
  readonly name: string;
  readonly schema: string;
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly encoders: readonly Encoder[];
  readonly optional: readonly boolean[];
  readonly hasDefault: readonly boolean[];
  /** How many arguments may be given by position. */
  readonly positional: number;
  readonly results: number;
  readonly returnedArguments: readonly number[] | undefined;
  /** The arguments that the operator writes to. */
  readonly written: readonly number[];
  /** Looks at arguments that could end the process. */
  readonly guard: Guard | undefined;
}

/** Overloads whose types have no form in JavaScript (dimension names, streams, ...) do not exist here. */
function compile(name: string, schema: SchemaOverload): Overload | undefined {
  const encoded = schema.arguments.map(encoderOf);
  if (encoded.includes(undefined) || schema.returns.some((type) => !resultTypes.has(type))) return undefined;
  const keyword = schema.arguments.findIndex((argument) => argument.keywordOnly);
  return {
    index: schema.index,
    name: schema.overload === '' ? name : `${name}.${schema.overload}`,
    schema: schema.schema,
    names: schema.arguments.map((argument) => argument.name),
    types: schema.arguments.map(({ type, size }) => (size ? type.replace('[]', `[${size}]`) : type)),
    encoders: encoded as Encoder[],
    optional: schema.arguments.map((argument) => argument.type.endsWith('?')),
    hasDefault: schema.arguments.map((argument) => argument.hasDefault),
    positional: keyword < 0 ? schema.arguments.length : keyword,
    results: schema.returns.length,
    returnedArguments: schema.returnedArguments,
    written: schema.arguments.flatMap((argument, i) => (argument.written ? [i] : [])),
    guard: guardOf(name, schema),
  };
}

function guardOf(name: string, { arguments: given }: SchemaOverload): Guard | undefined {
  const outputs = given.filter(({ written, keywordOnly }) => written && keywordOnly);
  const parts = [guards.get(name), outputs.length > 0 ? writable(outputs.map((one) => one.name)) : undefined];
  const wanted = parts.filter((part) => part !== undefined);
  return wanted.length > 1 ? all(...wanted) : wanted[0];
}

type Options = Readonly<Record<string, unknown>>;

function isOptions(value: unknown): value is Options {
  if (typeof value !== 'object' || value === null || value instanceof Tensor) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Writes the arguments by this overload's schema; false if they do not fit it. */
function encode(
  overload: Overload,
  values: readonly unknown[],
  given: number,
  options: Options | undefined,
): boolean {
  if (given > overload.positional) return false;
  const { names, encoders, hasDefault, optional } = overload;
  let used = 0;
  let at = 1;
  for (let i = 0; i < encoders.length; i++) {
    let value: unknown;
    if (i < given) {
      value = values[i];
    } else if (options !== undefined && Object.hasOwn(options, names[i]!)) {
      value = options[names[i]!];
      used++;
    }
    if (value === undefined && hasDefault[i]) {
      command[at++] = DEFAULT;
    } else if ((value === undefined || value === null) && optional[i]) {
      command[at++] = NONE;
    } else {
      at = encoders[i]!(value, at);
      if (at < 0) return false;
    }
  }
  if (options !== undefined && used !== Object.keys(options).length) return false;
  command[0] = overload.index;
  return true;
}

/** Why the arguments do not fit an overload, in the words of its schema. */
function misfit(
  overload: Overload,
  values: readonly unknown[],
  given: number,
  options: Options | undefined,
): string {
  const { names, types, positional } = overload;
  if (given > positional) return `takes ${positional} by position, not ${given}`;
  for (let i = 0; i < names.length; i++) {
    const value = i < given ? values[i] : options?.[names[i]!];
    if (value === undefined && (overload.hasDefault[i] || overload.optional[i])) continue;
    if (value === null && overload.optional[i]) continue;
    if (value === undefined) return `${names[i]} is missing`;
    if (overload.encoders[i]!(value, 1) >= 0) continue;
    return `${names[i]} must be ${expected[types[i]!.replace(/\?$/, '')] ?? types[i]}, not ${describeValue(value)}`;
  }
  const extra = Object.keys(options ?? {}).find((key) => names.indexOf(key) < given);
  return names.includes(extra!) ? `${extra} is given twice` : `has no argument ${extra}`;
}

/** Types of a schema that do not say by themselves what they stand for here. */
const expected: Readonly<Record<string, string>> = {
  int: 'a whole number',
  SymInt: 'a whole number',
  ScalarType: `a dtype (${Object.keys(dtypeCodes).join(', ')})`,
  MemoryFormat: `one of ${memoryFormats.join(', ')}`,
  Layout: `'${layouts[0]}'`,
  Scalar: 'a number or boolean',
  float: 'a number',
  bool: 'a boolean',
  str: 'a string',
  Device: "a device, as 'cpu' or 'cuda:0'",
};

function readResult(cursor: { at: number }): unknown {
  const tag = command[cursor.at++];
  const value = command[cursor.at++]!;
  switch (tag) {
    case TENSOR:
      return tensorOrNull(value);
    case BOOL:
      return value !== 0;
    case NONE:
      return null;
    case TENSOR_LIST:
      return Array.from({ length: value }, () => tensorOrNull(command[cursor.at++]!));
    case INT_LIST:
    case DOUBLE_LIST:
      return Array.from({ length: value }, () => command[cursor.at++]!);
    default:
      return value;
  }
}

/** Some operators give no tensor where a gradient was not asked for. */
function tensorOrNull(handle: number): Tensor | null {
  return handle === 0 ? null : new Tensor(handle);
}

function argumentAt(
  i: number,
  overload: Overload,
  args: readonly unknown[],
  given: number,
  options: Options | undefined,
): unknown {
  return i < given ? args[i] : options?.[overload.names[i]!];
}

function run(
  overload: Overload,
  args: readonly unknown[],
  given: number,
  options: Options | undefined,
): unknown {
  if (strings.length === 0) {
    native.call();
  } else {
    native.callWithStrings(strings);
    strings = [];
  }
  // Also after an error: the operator may have written before it failed.
  for (const i of overload.written) {
    const value = argumentAt(i, overload, args, given, options);
    if (value instanceof Tensor) value.changed();
    else if (Array.isArray(value)) for (const tensor of value as Tensor[]) tensor.changed();
  }
  if (command[0] !== DONE) {
    // Waiting: the results did not fit the command buffer, and the native side keeps them.
    if (command[0] !== WAITING) {
      throw new TorchError(overload.name, native.lastError(), describeArguments(args));
    }
    reserve(command[1]!);
    native.takeResults();
  }
  if (overload.returnedArguments !== undefined) {
    const [first, ...more] = overload.returnedArguments;
    if (more.length === 0) return argumentAt(first!, overload, args, given, options);
    return overload.returnedArguments.map((i) => argumentAt(i, overload, args, given, options));
  }
  if (overload.results === 1) {
    return command[2] === TENSOR && command[3] !== 0 ? new Tensor(command[3]!) : readResult({ at: 2 });
  }
  if (overload.results === 0) return undefined;
  const cursor = { at: 2 };
  const results: unknown[] = [];
  for (let i = 0; i < overload.results; i++) results.push(readResult(cursor));
  return results;
}

/** An operator that a program called, after it ran. */
export interface OperatorCall {
  /** With namespace and overload, as 'aten::add.Tensor'. */
  readonly name: string;
  /** By the schema's names; what was left out, and has its default, is not there. */
  readonly args: ReadonlyMap<string, unknown>;
  /** As the program gets them; an operator in place gives the very tensor that it wrote to. */
  readonly results: readonly unknown[];
  /** Names of the arguments that it wrote to. */
  readonly written: readonly string[];
}

let watcher: ((call: OperatorCall) => void) | undefined;

/** Has `onCall` told of every operator that is called, or nobody. @returns who was told before. */
export function watchOperators(onCall: typeof watcher): typeof watcher {
  const before = watcher;
  watcher = onCall;
  return before;
}

function runWatched(
  overload: Overload,
  args: readonly unknown[],
  given: number,
  options: Options | undefined,
): unknown {
  const result = run(overload, args, given, options);
  const { name, names, written } = overload;
  const values = names.map((_, i) => argumentAt(i, overload, args, given, options));
  // What the watcher itself computes is not part of the program.
  const onCall = watchOperators(undefined);
  try {
    onCall?.({
      name,
      args: new Map(names.flatMap((key, i) => (values[i] === undefined ? [] : [[key, values[i]]]))),
      results: Array.isArray(result) ? result : [result],
      written: written.map((i) => names[i]!),
    });
  } finally {
    watchOperators(onCall);
  }
  return result;
}

/** @throws TorchError if the guard refuses the arguments, which are written to the buffer again: it may call operators. */
function heed(
  guard: Guard,
  overload: Overload,
  args: readonly unknown[],
  given: number,
  options: Options | undefined,
): void {
  const { names } = overload;
  const [before, encoded] = [calls, strings];
  strings = [];
  const refused = guard((name) => argumentAt(names.indexOf(name), overload, args, given, options));
  if (refused !== undefined) {
    throw new TorchError(overload.name, `not let through: ${refused}`, describeArguments(args));
  }
  if (calls === before) {
    strings = encoded;
    return;
  }
  calls = before;
  encode(overload, args, given, options);
}

let calls = 0;

function invoke(overloads: readonly Overload[], name: string, args: readonly unknown[]): unknown {
  const call = ++calls;
  const last = args[args.length - 1];
  const options = isOptions(last) ? last : undefined;
  let given = options === undefined ? args.length : args.length - 1;
  // A trailing `undefined` is an argument left out.
  while (given > 0 && args[given - 1] === undefined) given--;
  try {
    for (let i = 0; i < overloads.length; i++) {
      const overload = overloads[i]!;
      if (encode(overload, args, given, options)) {
        if (overload.guard !== undefined) heed(overload.guard, overload, args, given, options);
        if (call === calls) return (watcher ? runWatched : run)(overload, args, given, options);
        throw new TypeError(`${name}: a getter or proxy among the arguments called another operator`);
      }
      if (strings.length > 0) strings = [];
    }
    const forms = overloads.map(
      (overload) => `\n  ${overload.schema}: ${misfit(overload, args, given, options)}`,
    );
    throw new TypeError(
      `${name}(${describeArguments(args)}): no form of the operator takes these arguments.${forms.join('')}`,
    );
  } catch (error) {
    strings = [];
    if (!(error instanceof DisposedArgument)) throw error;
    throw new TypeError(`${name}(${describeArguments(args)}): a tensor given was disposed`);
  }
}

const compiled = new Map<string, Overload[]>();

function overloadsOf(qualified: string): Overload[] {
  let overloads = compiled.get(qualified);
  if (overloads === undefined) {
    const fault = unsafeOperators.get(qualified);
    if (fault) throw new TypeError(`${qualified} is closed, since it could end the process: ${fault}`);
    overloads = native
      .lookup(qualified)
      .map((schema) => compile(qualified, schema))
      .filter((overload) => overload !== undefined);
    compiled.set(qualified, overloads);
  }
  return overloads;
}

/**
 * Calls an operator by its exact name, as 'add.Tensor' (namespace `aten`) or 'pgpc::depthwise_conv2d'.
 * @throws TypeError if there is no such operator or overload, or the arguments do not fit its schema.
 */
function callByName(name: string, ...args: unknown[]): unknown {
  const qualified = String(name).includes('::') ? name : `aten::${name}`;
  const [base, overload = ''] = qualified.split('.');
  const found = (known.has(base!) ? overloadsOf(base!) : []).filter(
    (candidate) => overload === '' || candidate.name === `${base}.${overload}`,
  );
  if (found.length === 0) throw new TypeError(`there is no operator ${name}`);
  return invoke(found, qualified, args);
}

/** Every operator by ATen's name in camelCase; see `Ops` (generated from the registered schemas). */
export const ops = { call: callByName } as unknown as Ops;

/** The operators that are ours to call: other namespaces hold libtorch's own building blocks, which check nothing. */
const known = new Set<string>();

for (const [qualified, name, isMethod] of native.operatorNames()) {
  known.add(qualified);
  let overloads: Overload[] | undefined;
  const bind = () => {
    overloads = overloadsOf(qualified);
    return overloads;
  };
  (ops as unknown as Record<string, unknown>)[name] = (...args: unknown[]) =>
    invoke(overloads ?? bind(), qualified, args);
  if (isMethod && !(name in Tensor.prototype)) {
    Object.defineProperty(Tensor.prototype, name, {
      value: function (this: Tensor, ...args: unknown[]) {
        return invoke(overloads ?? bind(), qualified, [this, ...args]);
      },
      writable: true,
      configurable: true,
    });
  }
}
