// Damaged and hostile files are read right or refused by name, each kind by a process of its own; long runs are for the command.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const COUNT = 100;

test(`${COUNT} inputs of each kind, and all that were once read wrongly, give no crash, hang, excess of memory or foreign error`, () => {
  const command = fileURLToPath(new URL('inputs.mjs', import.meta.url));
  const output = execFileSync(process.execPath, [command, '--count', `${COUNT}`, '--seed', '17'], {
    encoding: 'utf8',
  });
  const results = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
  expect(results).toHaveLength(8);
  for (const { read, refused, faults, deaths } of results) {
    expect({ faults, deaths }).toEqual({ faults: 0, deaths: 0 });
    expect(read! + refused!).toBe(COUNT);
    // Neither is everything refused before it is looked into.
    expect(read).toBeGreaterThan(COUNT / 30);
    expect(refused).toBeGreaterThan(COUNT / 30);
  }
});
