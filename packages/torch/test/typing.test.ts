// What a small program costs to type-check: counts rather than seconds, which depend on the machine.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { ops } from '../src/index.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(root, 'node_modules/.cache/typing-test');
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = `
import { DataLoader, nn, optim, randn, TensorDataset, tidy } from '@pgpc/torch';

const network = new nn.Sequential(new nn.Linear(8, 32), new nn.GELU(), new nn.Linear(32, 1));
const optimizer = new optim.AdamW(network.parameters(), { lr: 1e-2 });
const schedule = new optim.CosineAnnealingLR(optimizer, 10);
const x = randn([640, 8]);
const data = new TensorDataset(x, x.sum([1], { keepdim: true }));
for await (const [inputs, targets] of new DataLoader(data, { batchSize: 64, shuffle: true })) {
  tidy(() => {
    optimizer.zeroGrad();
    nn.mseLoss(network.call(inputs), targets).backward();
    optimizer.step();
    schedule.step();
  });
}
`;

/** What the compiler counts for a program, types of Node included; throws what it says if it finds a fault. */
function counts(name: string, text: string): Record<string, number> {
  const file = join(folder, `${name}.mts`);
  writeFileSync(file, text);
  const options =
    '--noEmit --strict --target es2023 --lib es2023,esnext.disposable --module nodenext --types node';
  const all = [
    ...options.split(' '),
    '--skipLibCheck',
    'false',
    '--ignoreConfig',
    '--extendedDiagnostics',
    file,
  ];
  const printed = execFileSync(join(root, 'node_modules/.bin/tsc'), all, { cwd: folder, encoding: 'utf8' });
  const rows = [...printed.matchAll(/^([\w ]+):\s+([\d.]+)/gm)].map(([, key, value]) => [key, Number(value)]);
  return Object.fromEntries(rows);
}

test('the types of all operators stay light', () => {
  const without = counts('nothing', 'export {};\n');
  const withTorch = counts('program', program);
  const added = (key: string) => withTorch[key]! - without[key]!;
  const seconds = (found: Record<string, number>) => found['Total time']!.toFixed(1);
  console.log(
    `a program that imports @pgpc/torch is type-checked in ${seconds(withTorch)} s, one without in ${seconds(without)} s: ` +
      `${added('Identifiers')} names and ${added('Types')} types more`,
  );
  const operators = Object.keys(ops).length;
  expect(added('Identifiers') / operators).toBeLessThan(54);
  expect(added('Types') / operators).toBeLessThan(10);
  expect(added('Instantiations')).toBeLessThan(3000);
});
