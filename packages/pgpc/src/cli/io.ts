// What the command line gives every command besides its options.

/** The surroundings of a command. */
export interface CommandIo {
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP: finish the step at hand, save what there is, and return or throw. */
  readonly signal: AbortSignal;
  /** For results. */
  readonly stdout: NodeJS.WritableStream;
  /** For progress and remarks. */
  readonly stderr: NodeJS.WritableStream;
  /** Says what begins, for a sign of life while nothing is written; undefined: another process shows what is under way. */
  readonly stage: (text: string | undefined) => void;
  /** The command line as a shell would take it, for `run.json`. */
  readonly command: string;
}

/** Whether an error is that the signal came, and no failure. */
export function isStop(error: unknown, signal: AbortSignal): boolean {
  return (
    signal.aborted && (error === signal.reason || (error instanceof Error && error.name === 'AbortError'))
  );
}
