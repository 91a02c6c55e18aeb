// What is thrown where a dataset's folder or file is not as its format says.
import { printable } from './files/names.js';

/** What is wrong with a dataset's folder or file. */
export type FaultKind =
  | 'missing'
  | 'missing-pair'
  | 'same-name'
  | 'name'
  | 'empty'
  | 'symlink-loop'
  | 'undecodable'
  | 'value-range'
  | 'label-format'
  | 'size-mismatch'
  | 'too-small'
  | 'unknown-value'
  | 'definition';

/** A dataset folder or file that is not as its format says; the message is one line and names the path. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError';
  /** What is wrong; undefined where the caller, not the data, is at fault. */
  readonly kind: FaultKind | undefined;
  /** The path that is at fault. */
  readonly file: string | undefined;

  constructor(message: string, options: ErrorOptions & { kind?: FaultKind; file?: string } = {}) {
    super(message, options);
    this.kind = options.kind;
    this.file = options.file;
  }
}

const MOST_CHARACTERS = 1000;

/** A text for an error, cut off after 1000 characters: what a file says may be as long as the file. */
export function shortened(text: string): string {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}...` : text;
}

/** The error of a file or folder. @param why it is wrong and what to do, as its message says behind the path */
export function fault(kind: FaultKind, file: string, why: string, cause?: unknown): DatasetError {
  return new DatasetError(printable(`${file}: ${shortened(why)}`), {
    kind,
    file,
    ...(cause !== undefined && { cause }),
  });
}
