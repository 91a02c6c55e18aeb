// A report that is there while its run is: written again whenever something has come, one writing at a time.

import { writeReport } from './report.js';

export class LiveReport {
  #writing: Promise<unknown> | undefined;

  /** @param run its directory. */
  constructor(readonly run: string) {}

  /** Begins to write it, unless that is under way: the next has what came meanwhile. A report never ends its run. */
  again(): void {
    this.#writing ??= writeReport(this.run)
      .catch(() => {})
      .finally(() => {
        this.#writing = undefined;
      });
  }

  /** Writes it for the last time. @returns its file. @throws as `writeReport` does. */
  async last(): Promise<string> {
    await this.#writing;
    return writeReport(this.run);
  }
}
