// Every command that a help text or a page shows is one that the command line takes.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { Handlers } from '../../src/cli/main.js';
import { runMain } from '../support/command.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const home = process.cwd();
const folder = mkdtempSync(path.join(tmpdir(), 'pgpc-examples-'));
afterAll(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true });
});

/** Stands for the action of every command. */
const handlers = new Proxy({}, { get: () => async () => {} }) as Handlers;

async function run(args: readonly string[]) {
  return runMain(args, { handlers });
}

/** The words of a line as a shell gives them to a program. */
function words(line: string): string[] {
  const bare = line.replace(/\s#\s.*$/, '').replace(/^.*?pgpc /, '');
  return (
    [...bare.matchAll(/(?:[^\s'"]+|'[^']*'|"[^"]*")+/g)]
      .map(([word]) => word.replace(/'([^']*)'|"([^"]*)"/g, '$1$2'))
      // What a reader fills in: after an option its value, elsewhere more options.
      .flatMap((word, i, all) =>
        word === '...' ? (all[i - 1]?.startsWith('--') ? ['filled-in'] : []) : [word],
      )
  );
}

/** Runs a line, with the files and folders that it asks for. */
async function accepted(line: string): Promise<string> {
  const args = words(line);
  // What one example takes for a file another may take for a folder.
  process.chdir(mkdtempSync(path.join(folder, 'in-')));
  // `pgpc adapt` takes from it what its line does not say.
  writeFileSync('pgpc.yaml', 'source-root: simulator\ntarget-root: camera\n');
  for (let made = 0; ; made++) {
    const { code, err } = await run(args);
    if (code === 0) return '';
    const [, file, kind] = /'([^']+)': there is no such (file or folder|file|folder)/.exec(err) ?? [];
    if (file === undefined || made === 8) return err;
    mkdirSync(kind === 'folder' ? file : path.dirname(file), { recursive: true });
    if (kind !== 'folder') writeFileSync(file, file.endsWith('mjs') || file.endsWith('js') ? '' : 'x');
  }
}

/** The commands, as `help` lists them, and theirs. */
async function commands(parents: readonly string[] = []): Promise<string[][]> {
  const { out } = await run([...parents, '--help']);
  const listed = /^Commands:\n((?: {2}.*\n)+)/m.exec(out)?.[1] ?? '';
  const names = [...listed.matchAll(/^ {2}([a-z]+)/gm)]
    .map(([, name]) => name!)
    .filter((name) => name !== 'help');
  const inner = await Promise.all(names.map((name) => commands([...parents, name])));
  return [[...parents], ...inner.flat()];
}

/** Lines of commands in a page's blocks of code, with the lines that a backslash continues. */
function linesOf(file: string): string[] {
  const blocks = readFileSync(file, 'utf8').matchAll(/^```\w*\n([\s\S]*?)^```/gm);
  return [...blocks].flatMap(([, block]) =>
    block!
      .replace(/\\\n\s*/g, ' ')
      .split('\n')
      .filter((line) => /^\s*(\$ )?(npx )?pgpc \S/.test(line)),
  );
}

describe('examples', () => {
  test('of help texts are accepted, and every command has some', async () => {
    let count = 0;
    for (const command of await commands()) {
      const { out } = await run([...command, '--help']);
      const examples =
        /^Examples?:\n((?: {2}.*\n?)+)/m
          .exec(out)?.[1]
          ?.trim()
          .split(/\n {2}(?=(?:\w+=\S+ )?pgpc )/) ?? [];
      if (!/^Commands:/m.test(out)) expect(examples.length, command.join(' ')).toBeGreaterThan(0);
      for (const example of examples) {
        count++;
        expect(await accepted(example), example).toBe('');
      }
    }
    expect(count).toBeGreaterThan(25);
  });

  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`),
    ...readdirSync(path.join(root, 'packages')).map((name) => `packages/${name}/README.md`),
  ].filter((name) => name.endsWith('.md'));

  test.each(pages)('of %s are accepted', async (page) => {
    for (const line of linesOf(path.join(root, page))) expect(await accepted(line), line).toBe('');
  });

  test('that are wrong would be found', async () => {
    expect(await accepted('pgpc eval --checkpoint runs/x --target-root y --input 3')).toContain(
      'unknown option',
    );
    expect(await accepted('pgpc eval --checkpoint runs/x')).toContain('--target-root');
    expect(await accepted('pgpc wieghts inspect x')).toContain('unknown command');
  });
});
