// Packs the packages, installs them in an empty folder as their users do, and trains there. PGPC_TEST_NODES=20,22,24 does it on
// these versions of Node, with the demo, publint and are-the-types-wrong; without it this Node alone trains.

import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const packages = readdirSync(join(root, 'packages'));
const nodes = process.env.PGPC_TEST_NODES?.split(',') ?? [];
const work = realpathSync(mkdtempSync(join(tmpdir(), 'pgpc-packages-')));
const project = join(work, 'project');
const torchAlone = join(work, 'torch-alone');
const minutes = 60_000;

const PROGRAM = `
import { nn, optim, randn, tidy } from '@pgpc/torch';
const layer = new nn.Linear(8, 2);
const optimizer = new optim.AdamW(layer.parameters(), { lr: 1e-2 });
const step = (): number => tidy(() => {
  optimizer.zeroGrad();
  const loss = layer.call(randn([16, 8])).pow(2).mean();
  loss.backward();
  optimizer.step();
  return loss.item();
});
const losses = Array.from({ length: 200 }, step);
console.log(losses[0]! > 10 * losses.at(-1)! ? 'trained' : losses);
`;

const TRAINING = `
import { resolveTraining, runTraining, writeStreetSynth } from 'pgpc';
const counts = { sourceTrain: 2, sourceVal: 1, targetTrain: 2, targetVal: 1 };
await writeStreetSynth('data', { seed: 1, ...counts, width: 64 });
const domains = { source: 'data/gta5', target: 'data/cityscapes' };
const config = await resolveTraining({ ...domains, crop: { width: 32, height: 32 }, iterations: 2 });
const { outcome } = await runTraining(config, { memoryCheck: false, overwrite: true, name: 'program' });
console.log(outcome);
`;

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in a folder as a shell there would; `node` is the folder of another Node, to be found first. */
async function run(
  folder: string,
  command: string,
  args: readonly string[],
  node?: string,
  env = {},
): Promise<Output> {
  const PATH = [...(node ? [node] : []), dirname(process.execPath), process.env.PATH].join(delimiter);
  // What npm tells the programs that it runs would reach this npm.
  const outside = Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_OPTIONS$|^VITEST/.test(name));
  const options = { cwd: folder, env: { ...Object.fromEntries(outside), PATH, ...env }, maxBuffer: 1 << 28 };
  try {
    return { code: 0, ...(await promisify(execFile)(command, [...args], options)) };
  } catch (error) {
    const { code, stdout, stderr } = error as Output;
    return { code, stdout, stderr };
  }
}

/** @throws Error with all that the command printed if it failed. */
async function succeed(...[folder, command, args, ...others]: Parameters<typeof run>): Promise<string> {
  const { code, stdout, stderr } = await run(folder, command, args, ...others);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${stdout}${stderr}`);
  return stdout + stderr;
}

/** An empty project with these packages. */
async function install(folder: string, dependencies: Readonly<Record<string, string>>): Promise<void> {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', dependencies }));
  await succeed(folder, 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund']);
}

const nodeFolder = (version: string) => join(work, 'nodes/node_modules', `node-${version}`, 'bin');

beforeAll(async () => {
  const workspaces = packages.flatMap((name) => ['--workspace', `packages/${name}`]);
  const packed = await run(root, 'npm', ['pack', '--json', '--pack-destination', work, ...workspaces]);
  const tarballs = Object.fromEntries(
    (JSON.parse(packed.stdout) as { name: string; filename: string }[]).map(({ name, filename }) => [
      name,
      `file:${join(work, filename)}`,
    ]),
  );
  await install(project, tarballs);
  const { '@pgpc/torch': torch, '@pgpc/addon': addon } = tarballs;
  await install(torchAlone, { '@pgpc/torch': torch!, '@pgpc/addon': addon! });
  if (nodes.length > 0) {
    const binary = `node-linux-${process.arch}`;
    await install(
      join(work, 'nodes'),
      Object.fromEntries(nodes.map((version) => [`node-${version}`, `npm:${binary}@${version}`])),
    );
  }
}, 5 * minutes);

afterAll(() => rmSync(work, { recursive: true, force: true }), minutes);

test('a package has its licence, its page and no file of development', () => {
  for (const name of packages) {
    const folder = join(project, 'node_modules', name === 'pgpc' ? name : `@pgpc/${name}`);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
    expect(files.filter((file) => /(^|\/)test|tsbuildinfo|\.map$|tsconfig/.test(file))).toEqual([]);
    expect(readFileSync(join(folder, 'LICENSE'), 'utf8')).toBe(readFileSync(join(root, 'LICENSE'), 'utf8'));
  }
});

test.runIf(nodes.length > 0)(
  'publint and are-the-types-wrong find nothing',
  async () => {
    await succeed(root, 'npm', ['run', 'check:packages']);
  },
  3 * minutes,
);

test.each([
  ['npx pgpc setup', project],
  ['npx @pgpc/torch setup', torchAlone],
])('before set-up an import says `%s`', async (command, folder) => {
  const env = { PGPC_CACHE: join(work, 'empty') };
  const { code, stderr } = await run(folder, 'node', ['-e', "await import('@pgpc/torch')"], undefined, env);
  expect(code).not.toBe(0);
  expect(stderr).toContain(`is not built for this folder and this processor: run \`${command}\``);
});

test('a lack is told in two lines', async () => {
  const env = { PGPC_CACHE: join(work, 'empty'), CXX: 'no-such-compiler' };
  const { code, stderr } = await run(torchAlone, 'npx', ['@pgpc/torch', 'setup'], undefined, env);
  expect([code, stderr.trim().split('\n')]).toEqual([
    1,
    [
      expect.stringMatching(/^set-up: g\+\+ not found/),
      expect.stringMatching(/^On Debian and Ubuntu, .*g\+\+\.$/),
    ],
  ]);
});

test('set-up shares its build with other projects', async () => {
  expect(await succeed(torchAlone, 'npx', ['@pgpc/torch', 'setup'])).not.toContain('building');
  expect(await succeed(torchAlone, 'node', ['-e', "await import('@pgpc/torch')"])).toBe('');
});

const targets =
  nodes.length > 0 ? nodes.map((version) => [version, version]) : [['of these tests', undefined]];
describe.each(targets)('on Node %s', (_, version) => {
  const node = version && nodeFolder(version);

  test(
    'a program of a few lines trains',
    async () => {
      if (version) expect(await succeed(project, 'node', ['--version'], node)).toMatch(`v${version}.`);
      await succeed(project, 'npx', ['pgpc', 'setup'], node);
      writeFileSync(join(project, 'program.ts'), PROGRAM);
      const strict = ['--strict', '--module', 'nodenext', '--target', 'es2023', '--skipLibCheck', 'false'];
      const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
      const compiler = join(root, 'node_modules/typescript/bin/tsc');
      writeFileSync(join(project, 'training.ts'), TRAINING);
      await succeed(project, 'node', [compiler, ...strict, ...types, 'program.ts', 'training.ts'], node);
      expect(await succeed(project, 'node', ['program.js'], node)).toBe('trained\n');
      expect(await succeed(project, 'node', ['training.js'], node)).toBe('finished\n');
    },
    3 * minutes,
  );

  test.runIf(version)(
    'the demo runs',
    async () => {
      const printed = await succeed(project, 'npx', ['pgpc', 'demo', '--quick', '--overwrite'], node);
      expect(printed).toMatch(/^mIoU/m);
    },
    10 * minutes,
  );
});
