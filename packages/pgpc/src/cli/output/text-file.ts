// Files that commands write results to; `-` stands for standard output.

import { writeFileSync } from 'node:fs';
import type { CommandIo } from '../io.js';

const STDOUT = '-';

/** A command's surroundings where it writes such files: with one on standard output, all else it says is on stderr. */
export function beside(io: CommandIo, ...files: readonly (string | undefined)[]): CommandIo {
  return files.includes(STDOUT) ? { ...io, stdout: io.stderr } : io;
}

/**
 * @param io the command's own, not what {@link beside} gives.
 * @returns the line that says where it is; nothing for standard output.
 */
export function writeText(what: string, file: string, text: string, io: CommandIo): string {
  if (file === STDOUT) {
    io.stdout.write(text);
    return '';
  }
  writeFileSync(file, text);
  return `${what}: ${file}\n`;
}
