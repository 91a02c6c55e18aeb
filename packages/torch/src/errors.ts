// Errors of operator calls: what was called, with what, and what libtorch said.

/** The method by which an object says how errors write it. */
export const described = Symbol('described');

/** What libtorch refused: the operator, the arguments given and libtorch's first line. */
export class TorchError extends Error {
  override readonly name = 'TorchError';

  constructor(
    readonly operator: string,
    readonly reason: string,
    given: string,
  ) {
    super(`${operator}(${given}): ${reason}`);
  }
}

/** Calls the native side; what it throws becomes a {@link TorchError} that names the call and its arguments. */
export function attempt<T>(name: string, args: readonly unknown[], fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw new TorchError(name, (error as Error).message, describeArguments(args));
  }
}

/** Arguments as a person would write them: tensors by dtype and shape. */
export function describeArguments(values: readonly unknown[]): string {
  return values.map((value) => describeValue(value)).join(', ');
}

/** One argument as a person would write it. */
export function describeValue(value: unknown, depth = 0): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  if (described in value) return (value as { [described](): string })[described]();
  if (depth > 2) return '...';
  if (Array.isArray(value)) {
    const shown = value.slice(0, 6).map((item) => describeValue(item, depth + 1));
    return `[${shown.join(', ')}${value.length > 6 ? `, ... ${value.length} in all` : ''}]`;
  }
  const entries = Object.entries(value).slice(0, 6);
  return `{ ${entries.map(([key, item]) => `${key}: ${describeValue(item, depth + 1)}`).join(', ')} }`;
}
