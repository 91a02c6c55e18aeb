// The code in the README and in docs/from-pytorch.md runs, gives what it says it gives, and names all that there is.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import * as torch from '../src/index.js';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const pages = {
  'README.md': readFileSync(at('../README.md'), 'utf8'),
  'from-pytorch.md': readFileSync(at('../../../docs/from-pytorch.md'), 'utf8'),
};
const scratch = at('../../../node_modules/.cache/docs-test');
mkdirSync(scratch, { recursive: true });
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** `value; // -> expected` becomes an expectation. */
function checked(code: string): string {
  const lines = code.split('\n').map((line) => {
    const stated = /^(\s*)(.*); \/\/ -> (.*)$/.exec(line);
    return stated ? `${stated[1]}expect(${stated[2]}).toEqual(${stated[3]});` : line;
  });
  return `import { expect } from 'vitest';\n${lines.join('\n')}`;
}

describe.each(Object.entries(pages))('%s', (page, text) => {
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1]!);

  test.each(blocks.map((code, index) => [index + 1, code] as const))('block %d', async (index, code) => {
    const file = join(scratch, `${page}-${index}.ts`);
    writeFileSync(file, checked(code));
    await import(pathToFileURL(file).href);
  });
});

test('from-pytorch.md names everything that the package exports, and nothing that it lacks', () => {
  const [, table = ''] = pages['from-pytorch.md'].split('## What there is');
  const rows = table.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
  const named = rows.flatMap((row) => [...row.split('|')[2]!.matchAll(/`(\w+)`/g)].map((match) => match[1]!));
  const { nn, optim, ...rest } = torch;
  const exported = [rest, nn, optim].flatMap((part) => Object.keys(part));
  expect(named.sort()).toEqual(exported.sort());
});
