// docs/command-line.md against the code: every command, which of them give JSON, exit codes, variables of the environment, colours.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const page = readFileSync(join(root, 'docs/command-line.md'), 'utf8');

/** The rows of the first table under a heading, in cells. */
function rowsUnder(heading: string): string[][] {
  const section = page.split(/^## /m).find((one) => one.startsWith(`${heading}\n`))!;
  const [table] = /(^\|.*\|\n)+/m.exec(section)!;
  const cells = (line: string) => line.slice(1, -1).split('|');
  const [, , ...rows] = table.trim().split('\n').map(cells);
  return rows.map((row) => row.map((cell) => cell.trim()));
}

async function help(...command: string[]): Promise<string> {
  let text = '';
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  expect(await main([...command, '--help'], { stdout, signal: new AbortController().signal })).toBe(0);
  return text;
}

/** The commands that do something, each with whether it has `--json`. */
async function commandsOf(...parent: string[]): Promise<[name: string, json: boolean][]> {
  const text = await help(...parent);
  const listed = /^Commands:\n((?: {2}.*\n)+)/m.exec(text)?.[1];
  if (listed === undefined) return [[['pgpc', ...parent].join(' '), /^ {2}--json /m.test(text)]];
  const names = [...listed.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name!);
  const found: [string, boolean][] = [];
  for (const name of names.filter((one) => one !== 'help'))
    found.push(...(await commandsOf(...parent, name)));
  return found;
}

test('has every command, in the order of the help, and which of them give JSON', async () => {
  const commands = await commandsOf();
  const rows = rowsUnder('Commands').map(([name, , json]) => [name!.replaceAll('`', ''), json === 'yes']);
  expect(rows).toEqual(commands);
  const withFields = rowsUnder('Results for a program').flatMap(
    ([names]) => names!.match(/[a-z][a-z ]+[a-z]/g)!,
  );
  const withJson = commands.flatMap(([name, json]) => (json ? [name.replace('pgpc ', '')] : []));
  expect(withFields.toSorted()).toEqual(withJson.toSorted());
});

test('has the exit codes of the code', () => {
  const source = readFileSync(join(root, 'packages/pgpc/src/cli/main.ts'), 'utf8');
  const own = /^export async function main[\s\S]*?^}$/m.exec(source)![0];
  const stopped = /^const STOPPED = .*$/m.exec(source)![0];
  const bin = readFileSync(join(root, 'packages/pgpc/bin/pgpc.js'), 'utf8');
  const ending = [...own.split('\n'), ...bin.split('\n'), stopped].filter((line) =>
    /\breturn\b|exitCode = |exit\(|STOPPED = /.test(line),
  );
  const codes = new Set(ending.flatMap((line) => line.match(/\b\d+\b/g) ?? []).map(Number));
  expect(rowsUnder('Exit codes').map(([code]) => Number(code))).toEqual([...codes].toSorted((a, b) => a - b));
});

/** The sources of what users run: no tests, no generated files. */
function sources(): string[] {
  const folders = readdirSync(join(root, 'packages')).flatMap((name) =>
    ['src', 'setup', 'bin', 'native', 'scripts'].map((part) => join(root, 'packages', name, part)),
  );
  const files = [...folders, join(root, 'scripts')].flatMap((folder) => {
    try {
      return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file));
    } catch {
      return [];
    }
  });
  return files
    .filter((file) => /\.(ts|tsx|m?js|cpp|h)$/.test(file) && !file.includes('generated'))
    .map((file) => readFileSync(file, 'utf8'));
}

test('has every variable of the environment that is read', () => {
  const read = new Set<string>();
  const add = (names: string) => {
    for (const [name] of names.matchAll(/\b[A-Z][A-Z0-9_]+\b/g)) read.add(name);
  };
  for (const text of sources()) {
    for (const [, name] of text.matchAll(/\benv(?:\.|\[['"])([A-Z]\w+)/g)) add(name!);
    for (const [, names] of text.matchAll(/\{([^{}]*)\}\s*=\s*(?:process\.)?env\b/g)) add(names!);
    for (const [, name] of text.matchAll(/getenv\("(\w+)"\)/g)) add(name!);
    // How the rendezvous is read, each variable by its name.
    if (text.includes('env[name]')) for (const [, name] of text.matchAll(/\('([A-Z_]+)'/g)) add(name!);
  }
  const named = rowsUnder('Environment').flatMap(([names]) => names!.match(/[A-Z]\w+/g)!);
  expect(named.toSorted()).toEqual([...read].toSorted());
});

test('nothing is coloured: the one escape clears the rest of a line', () => {
  const escapes = sources().flatMap((text) => text.match(/(?:\\x1b|\\u001b|\\e|\\033)\[\w*/gi) ?? []);
  expect(new Set(escapes)).toEqual(new Set(['\\x1b[K']));
});
