// Programs that run in a process of their own, as `tsc` leaves them.

/**
 * @param from `import.meta.url` of the module that the program's file is beside.
 * @param file its name there, with `.js`. The sources run uncompiled under the test runner: then it is the one in `dist`.
 */
export function compiledProgram(from: string, file: string): URL {
  const beside = new URL(file, from);
  return from.endsWith('.ts') ? new URL(beside.href.replace(/\/src\/(?!.*\/src\/)/, '/dist/')) : beside;
}
