// What a run, and a phase within it, may be called.

const RUN_NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,99}$/u;

/** What `isRunName` accepts, in words. */
export const RUN_NAME_RULE = "up to 100 letters, digits, '.', '_' and '-', a letter or digit first";

/** Whether a name is one plain folder name on every system: it cannot leave the folder it is put into. */
export function isRunName(name: string): boolean {
  return RUN_NAME.test(name);
}
