// `pgpc completion`: its script in a real bash, and what the other shells' say.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { sweepNames } from '../../src/ablation/names.js';
import { main } from '../../src/cli/main.js';
import { methodNames } from '../../src/config/method.js';
import { networkChoices } from '../../src/config/segmentor.js';
import { drivingPresetNames } from '../../src/recipes/driving.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-completion-'));
mkdirSync(join(folder, 'pictures'));
writeFileSync(join(folder, 'plan.yaml'), '');
afterAll(() => rmSync(folder, { recursive: true }));

async function output(...args: string[]) {
  let out = '';
  let err = '';
  const into = (add: (text: string) => void) =>
    new Writable({
      write(chunk, _encoding, done) {
        add(String(chunk));
        done();
      },
    });
  const code = await main(args, {
    stdout: into((text) => {
      out += text;
    }),
    stderr: into((text) => {
      err += text;
    }),
    signal: new AbortController().signal,
    env: {},
  });
  return { code, out, err };
}

/** Each line's completions in one bash: the words of a line, the last to be completed. */
async function inBash(lines: readonly (readonly string[])[]): Promise<string[][]> {
  const script = join(folder, '.completion');
  writeFileSync(script, (await output('completion', 'bash')).out);
  // As bash calls it when the tab key is pressed; compopt works only then.
  const program = `compopt() { :; }
source ${script}
while IFS= read -r line; do
  IFS=$'\\t' read -ra COMP_WORDS <<< "$line"
  [[ $line == *$'\\t' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _pgpc
  (IFS=$'\\t'; echo "\${COMPREPLY[*]}")
done`;
  const bash = spawnSync('bash', ['--norc', '-c', program], {
    cwd: folder,
    encoding: 'utf8',
    input: lines.map((words) => `pgpc\t${words.join('\t')}\n`).join(''),
  });
  expect([bash.status, bash.stderr]).toEqual([0, '']);
  return bash.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').filter((word) => word !== ''));
}

describe('bash completes', () => {
  test('commands, options, words and files', async () => {
    const pgpc = methodNames.filter((name) => name.startsWith('pg'));
    const cases: [words: string[], expected: readonly string[]][] = [
      [['da'], ['dashboard', 'data']],
      [
        ['data', 'c'],
        ['check', 'cache'],
      ],
      [['train', '--precis'], ['--precision']],
      [['data', 'check', '--js'], ['--json']],
      [['train', '--method', 'pg'], pgpc],
      [['train', '--method', '=', 'pg'], pgpc],
      [['train', '--method', '='], methodNames],
      // The value of an option is no command.
      [['train', '--method', 'data', '--prese'], ['--preset']],
      [['train', '--preset', ''], drivingPresetNames],
      [['bench', '--network', 'hrnet'], networkChoices.filter((name) => name.startsWith('hrnet'))],
      [['ablate', ''], sweepNames],
      [['adapt', '--methods', 'pgpc,self'], ['pgpc,self-training']],
      [['sweep', '--method', 'source'], ['source-only']],
      [
        ['completion', ''],
        ['bash', 'zsh', 'fish'],
      ],
      [['adapt', '--source-root', 'p'], ['pictures']],
      [
        ['train', '--classes', 'p'],
        ['pictures', 'plan.yaml'],
      ],
      [['compare', 'pi'], ['pictures']],
      [['train', '--seed', ''], []],
      [['train', '--seed', '3', '--no-mem'], ['--no-memory-check']],
      [['demo', ''], []],
    ];
    const found = await inBash(cases.map(([words]) => words));
    const sorted = (words: readonly string[]) => words.toSorted();
    expect(found.map(sorted)).toEqual(cases.map(([, expected]) => sorted(expected)));
  });

  test('every command and option that help shows', async () => {
    const { out } = await output('--help');
    const [, block] = /^Commands:\n((?: {2}.*\n)+)/m.exec(out)!;
    const listed = [...block!.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name!);
    const names = listed.filter((name) => name !== 'help');
    const [commands, ...options] = await inBash([[''], ...names.map((name) => [name, '--'])]);
    expect(commands!.toSorted()).toEqual(names.toSorted());
    for (const [i, name] of names.entries()) {
      const help = (await output(name, '--help')).out;
      const flags = [...help.matchAll(/^ {2}(?:-h, )?(--[a-z-]+)/gm)].map(([, flag]) => flag!);
      expect(options[i]!.toSorted(), name).toEqual(flags.toSorted());
    }
  });
});

test('zsh and fish are told of the same commands, options and words', async () => {
  const zsh = (await output('completion', 'zsh')).out;
  expect(zsh).toMatch(/^#compdef pgpc\n/);
  expect(zsh).toContain(`(' ablate') compadd -- ${sweepNames.map((name) => `'${name}'`).join(' ')}`);
  expect(zsh).toContain(`(' train --method') compadd -- 'source-only' 'self-training'`);
  expect(zsh).toContain(`'--overwrite:replace the run that has the name'`);
  const fish = (await output('completion', 'fish')).out;
  expect(fish).toContain(`-n '__pgpc_at \\' ablate\\'' -f -a '${sweepNames.join(' ')}'`);
  expect(fish).toContain(`-n '__pgpc_at \\' train\\'' -l method -r -f -a '${methodNames.join(' ')}'`);
});

test('refuses another shell', async () => {
  expect(await output('completion', 'bsh')).toMatchObject({
    code: 2,
    err: "pgpc: shell 'bsh': must be one of bash, zsh, fish (did you mean 'bash'?)\n",
  });
});
