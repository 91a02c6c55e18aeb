// Compiles native addons into the cache, where all projects on the machine share them.

import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, hash, linkOf, machine } from './index.mjs';

/**
 * Something that must, or had better, be installed before an addon is compiled.
 * @typedef {object} Lack
 * @property {string} why what is missing, and what for
 * @property {string[]} packages Debian's and Ubuntu's packages that have it
 * @property {string} [otherwise] how to get it elsewhere
 * @property {boolean} [isOptional] whether it works without
 */

/**
 * @typedef {object} SetUpOptions
 * @property {(text: string) => void} [say] is told what happens
 * @property {AbortSignal} [signal] stops it
 */

/** What a command prints, or undefined if it fails. @param {string} command @param {string[]} args */
export function output(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** @param {string} command */
const has = (command) => output('sh', ['-c', `command -v '${command}'`]) !== undefined;

/** The compiler as cmake would call it: CXX may have a launcher before it. */
const compiler = () => (process.env.CXX || 'c++').split(' ');

/** Runs a command. @param {string} command @param {string[]} args @param {AbortSignal} [signal] @throws Error with its output if it fails. */
export async function run(command, args, signal) {
  try {
    await promisify(execFile)(command, args, { maxBuffer: 1 << 28, ...(signal && { signal }) });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const { stdout, stderr } = /** @type {{ stdout?: string, stderr?: string }} */ (cause);
    throw new Error(`\`${command} ${args.join(' ')}\` failed\n${stdout ?? ''}${stderr ?? ''}`, { cause });
  }
}

/** The tools that compiling needs and that are not here. @returns {Lack[]} */
export function lackingTools() {
  const packages = [
    ['cmake', 'cmake'],
    ['make', 'make'],
    [compiler()[0], 'g++'],
  ].flatMap(([command, name]) =>
    has(/** @type {string} */ (command)) ? [] : [/** @type {string} */ (name)],
  );
  if (packages.length === 0) return [];
  return [
    {
      why: `${packages.join(', ')} not found: native code is compiled on the machine that runs it`,
      packages,
    },
  ];
}

/** The command that installs what is lacking on Debian and Ubuntu. @param {Lack[]} lacks */
export const aptCommand = (lacks) =>
  `apt-get install --no-install-recommends ${lacks.flatMap(({ packages }) => packages).join(' ')}`;

/**
 * Says in two lines what to install.
 * @param {Lack[]} lacks @param {(text: string) => void} say is told of what is optional.
 * @throws Error if something is lacking that is not.
 */
export function refuseLacks(lacks, say) {
  const needed = lacks.filter(({ isOptional }) => !isOptional);
  for (const lack of lacks)
    if (lack.isOptional) say(`${lack.why} (Debian and Ubuntu: ${aptCommand([lack])})`);
  if (needed.length === 0) return;
  const otherwise = needed.flatMap((lack) => lack.otherwise ?? []);
  throw new Error(
    `${needed.map(({ why }) => why).join('; ')}.\n` +
      `On Debian and Ubuntu, as root: ${aptCommand(needed)}${otherwise.map((text) => `; or ${text}`).join('')}.`,
  );
}

/**
 * Compiles a package's addon by its CMakeLists.txt, unless the cache has it, and makes it the one that this folder loads.
 * @param {object} addon
 * @param {string} addon.folder the package's
 * @param {string} addon.name its target in CMakeLists.txt
 * @param {string} addon.what as people call it
 * @param {string[]} [addon.depends] what it is made of beside its own sources
 * @param {string[]} [addon.defines] for cmake
 * @param {SetUpOptions} [options]
 * @returns {Promise<string>} the folder in the cache, with `<name>.node` and room for what is derived from it
 */
export async function compileAddon({ folder, name, what, depends = [], defines = [] }, { say, signal } = {}) {
  try {
    mkdirSync(join(cacheFolder(), 'links'), { recursive: true });
    accessSync(join(cacheFolder(), 'links'), constants.W_OK);
  } catch (cause) {
    throw new Error(`${cacheFolder()} cannot be written: set PGPC_CACHE to a folder that can`, { cause });
  }
  const headers = ['node-api-headers', 'node-addon-api'].map((name) =>
    dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)),
  );
  const native = join(folder, 'native');
  const sources = readdirSync(native, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(cpp|h)$/.test(file))
    .sort()
    .map((file) => join(native, file));
  const { CXX, CXXFLAGS, LDFLAGS } = process.env;
  const made = [
    ...depends,
    ...defines,
    machine(),
    JSON.stringify([output('env', [...compiler(), '--version']), CXX, CXXFLAGS, LDFLAGS]),
    ...headers.map((header) => readFileSync(join(header, 'package.json'), 'utf8')),
  ];
  const parts = [join(folder, 'CMakeLists.txt'), ...sources];
  const key = hash(...made, ...parts.flatMap((file) => [file.slice(folder.length), readFileSync(file)]));
  const built = join(cacheFolder(), 'addons', `${name}-${key.slice(0, 32)}`);
  if (!existsSync(built)) {
    say?.(`building ${what}`);
    const work = mkdtempSync(join(tmpdir(), 'pgpc-'));
    try {
      const include = [join(headers[0] ?? '', 'include'), headers[1]].join(';');
      await run(
        'cmake',
        ['-S', folder, '-B', work, `-DNODE_API_INCLUDE_DIRS=${include}`, ...defines],
        signal,
      );
      await run('cmake', ['--build', work, '--parallel', String(availableParallelism())], signal);
      place(built, (fresh) => {
        mkdirSync(fresh);
        copyFileSync(join(work, `${name}.node`), join(fresh, `${name}.node`));
        writeFileSync(join(fresh, 'made-of.txt'), `${[folder, ...depends, ...defines].join('\n')}\n`);
      });
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  place(linkOf(folder, name), (fresh) => symlinkSync(join('../addons', basename(built)), fresh));
  return built;
}

/**
 * Makes a file or folder under another name first, and then all at once: others may read or make the same.
 * @param {string} path @param {(fresh: string) => void} make
 */
export function place(path, make) {
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.${randomUUID()}`;
  make(fresh);
  try {
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // Another set-up was first, with the same.
    if (!existsSync(path)) throw error;
  }
}

/**
 * What `npx <name> setup` does: sets up and says so, or says in words what is wrong.
 * @param {string} name the package's @param {(options: SetUpOptions) => Promise<string>} setUp
 */
export async function setUpFromCommandLine(name, setUp) {
  if (process.argv[2] !== 'setup') {
    console.error(`usage: npx ${name} setup`);
    process.exitCode = 2;
    return;
  }
  try {
    const what = await setUp({ say: (text) => console.log(`set-up: ${text}`) });
    console.log(`set-up: ready (${what})`);
  } catch (error) {
    console.error(`set-up: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
