// Remarks on many files, each kind said in one line.

/** Collects what is remarkable about single files. */
export class Remarks {
  readonly #files = new Map<string, string[]>();

  add(file: string, remark: string): void {
    const files = this.#files.get(remark);
    if (files) files.push(file);
    else this.#files.set(remark, [file]);
  }

  /** One line for each remark, with its first file and how many more there are. */
  lines(): string[] {
    return [...this.#files]
      .map(([remark, files]) => {
        const [first] = files.sort();
        return files.length === 1
          ? `${first}: ${remark}`
          : `${first} and ${files.length - 1} more: ${remark}`;
      })
      .sort();
  }
}
