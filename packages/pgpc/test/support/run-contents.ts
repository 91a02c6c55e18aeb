// All that a run directory holds, but for times and memory: what two runs are compared by.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Keys of JSON whose values are times and memory, or what a resumed run has besides. */
const TIMES = ['started', 'finished', 'resumed', 'wall', 'seconds', 'error', 'memory/process'];

/** A digest of every file by its path. `report.html` is made of the others. */
export function runContents(run: string): Record<string, string> {
  const files = readdirSync(run, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => !file.endsWith('report.html'))
    .sort();
  return Object.fromEntries(files.map((file) => [relative(run, file), digest(file)]));
}

function digest(file: string): string {
  const bytes = readFileSync(file);
  const content = /\.jsonl?$/.test(file)
    ? bytes
        .toString('utf8')
        .trim()
        .split(file.endsWith('l') ? '\n' : /(?!)/)
        .map(withoutTimes)
        .join('\n')
    : bytes;
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}

function withoutTimes(json: string): string {
  return JSON.stringify(JSON.parse(json), (key, value) => (TIMES.includes(key) ? undefined : value));
}
