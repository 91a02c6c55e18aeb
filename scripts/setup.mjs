// Makes a fresh clone ready: npm packages, libtorch with apt, native addons, generated types, the TypeScript.
// Every step is skipped when there is nothing to do.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const started = Date.now();

function say(text) {
  if (!process.argv.includes('--quiet')) console.log(`set-up: ${text}`);
}

/** Runs a command; its output is shown only if it fails. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.status === 0) return;
  const shown = `${result.error ?? ''}${result.stdout ?? ''}${result.stderr ?? ''}`;
  throw new Error(`\`${command} ${args.join(' ')}\` failed\n${shown}`);
}

function installPackages() {
  const manifests = [
    'package.json',
    'package-lock.json',
    ...readdirSync(join(root, 'packages')).map((name) => `packages/${name}/package.json`),
  ].filter((file) => existsSync(join(root, file)));
  const digest = createHash('sha256');
  for (const file of manifests) digest.update(readFileSync(join(root, file)));
  const key = digest.digest('hex');
  const stamp = join(root, 'node_modules/.setup-stamp');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  say('installing npm packages');
  // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, which mirrors may lack.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund']);
  writeFileSync(stamp, key);
}

/** Installs what is lacking with apt, saying so; what is optional only beside the system's own libtorch. */
async function installWithApt(torch, datasets) {
  const { aptCommand, output } = await import('@pgpc/addon/build');
  const { findLibtorch } = await import('../packages/torch/setup/libtorch.mjs');
  const isOfApt = findLibtorch()?.isSystem ?? true;
  const lacks = [...torch.lacks(), ...datasets.lacks()].filter(({ isOptional }) => isOfApt || !isOptional);
  if (lacks.length === 0 || output('sh', ['-c', 'command -v apt-get']) === undefined) return;
  const isRoot = process.getuid() === 0;
  if (!isRoot && output('sh', ['-c', 'command -v sudo']) === undefined) return;
  for (const { why } of lacks) say(why);
  say(aptCommand(lacks));
  const [command, ...prefix] = isRoot ? ['env'] : ['sudo', 'env'];
  const apt = [...prefix, 'DEBIAN_FRONTEND=noninteractive', 'apt-get'];
  const packages = [...new Set(lacks.flatMap((lack) => lack.packages))];
  run(command, [...apt, 'update']);
  run(command, [...apt, 'install', '-y', '--no-install-recommends', ...packages]);
}

/** Removes what `tsc -b` compiled from sources that have since been moved: it would be packed. */
function removeStale(folder) {
  const dist = join(folder, 'dist');
  if (!existsSync(dist)) return;
  for (const file of readdirSync(dist, { recursive: true })) {
    const [, stem, kind] = /^(.*?)(?:\.d)?\.([cm]?)[jt]s(?:\.map)?$/.exec(file) ?? [];
    const sources = [`src/${stem}.${kind}ts`, `src/${stem}.${kind}js`, `${stem}.${kind}js`];
    if (stem && !sources.some((source) => existsSync(join(folder, source)))) rmSync(join(dist, file));
  }
}

try {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Error(`Node 20 or newer is needed; this is ${process.version}`);
  }
  if (process.platform === 'win32') throw new Error('Windows is supported through WSL: run this inside it');
  installPackages();
  const torch = await import('../packages/torch/setup/index.mjs');
  const datasets = await import('../packages/datasets/setup/index.mjs');
  await installWithApt(torch, datasets);
  const parts = [await torch.setUp({ say }), await datasets.setUp({ say })];
  for (const name of readdirSync(join(root, 'packages'))) removeStale(join(root, 'packages', name));
  run(process.execPath, [
    'node_modules/typescript/bin/tsc',
    '-b',
    'packages/torch/setup',
    'packages/datasets/setup',
    'packages/pgpc',
    'packages/pgpc/try-page',
  ]);
  run(process.execPath, ['scripts/page.mjs']);
  say(`ready in ${((Date.now() - started) / 1000).toFixed(1)} s (${parts.join('; ')})`);
} catch (error) {
  console.error(`set-up: ${error.message}`);
  process.exitCode = 1;
}
