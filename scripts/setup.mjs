// Makes a fresh clone ready: npm packages, libtorch, the native bridge, the generated types, the TypeScript.
// Plain JavaScript without dependencies; every step is skipped when there is nothing to do.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const torchPackage = join(root, 'packages/torch');
const quiet = process.argv.includes('--quiet');
const started = Date.now();

function say(text) {
  if (!quiet) console.log(`set-up: ${text}`);
}

function fail(text) {
  console.error(`set-up: ${text}`);
  process.exit(1);
}

/** Runs a command; its output is shown only if it fails. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.error || result.status !== 0) {
    fail(
      `\`${command} ${args.join(' ')}\` failed\n${result.error ?? ''}${result.stdout ?? ''}${result.stderr ?? ''}`,
    );
  }
  return result.stdout;
}

function output(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

const has = (command) => output('sh', ['-c', `command -v ${command}`]) !== undefined;

function hash(...parts) {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part).update('\0');
  return digest.digest('hex');
}

/** Runs `make` unless `stamp` already holds `key`; writes the stamp only after success. */
function once(stamp, key, make) {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return false;
  make();
  writeFileSync(stamp, key);
  return true;
}

// ---- npm packages ----

function installPackages() {
  const manifests = [
    'package.json',
    'package-lock.json',
    'packages/torch/package.json',
    'packages/pgpc/package.json',
  ];
  const key = hash(...manifests.map((file) => readFileSync(join(root, file))));
  const stamp = join(root, 'node_modules/.setup-stamp');
  once(stamp, key, () => {
    say('installing npm packages');
    // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, which mirrors may lack.
    run('npm', ['install', '--no-save', '--no-audit', '--no-fund']);
    mkdirSync(join(root, 'node_modules'), { recursive: true });
  });
}

// ---- libtorch ----

/** The folder of Debian's libraries under a prefix; elsewhere `lib` itself. */
const multiarch = (prefix) => join(prefix, 'lib', output('gcc', ['-print-multiarch']) ?? '');

/** Headers of CUDA and NCCL, which libtorch leaves out: those of Python's packages beside torch, and the toolkit's. */
function cudaHeaders(folder, library) {
  if (!existsSync(join(library, 'libtorch_cuda.so'))) return [];
  const beside = join(folder, '../nvidia');
  const packages = existsSync(beside) ? readdirSync(beside).map((name) => join(beside, name)) : [];
  return [...packages, process.env.CUDA_HOME ?? '/usr/local/cuda']
    .map((place) => join(place, 'include'))
    .filter((place) => existsSync(place));
}

/** A folder laid out like the libtorch archive or Python's torch package, or the system's `/usr`. */
function fromFolder(folder, source) {
  const include = join(folder, 'include');
  const library = [join(folder, 'lib'), join(folder, 'lib64'), multiarch(folder)].find((lib) =>
    existsSync(join(lib, 'libtorch_cpu.so')),
  );
  if (!existsSync(join(include, 'ATen/ATen.h')) || library === undefined) return undefined;
  // Debian's package for Python consists of links to the system's libtorch.
  const system = realpathSync(multiarch('/usr'));
  if (dirname(realpathSync(join(library, 'libtorch_cpu.so'))) === system) {
    return {
      source: 'the system',
      include: ['/usr/include', '/usr/include/torch/csrc/api/include'],
      library: system,
      abi: '1',
    };
  }
  // Older releases from pytorch.org for Python say here that they use the C++ library's old strings.
  const config = join(folder, 'share/cmake/Torch/TorchConfig.cmake');
  const flag = existsSync(config) ? /_GLIBCXX_USE_CXX11_ABI=([01])/.exec(readFileSync(config, 'utf8')) : null;
  return {
    source,
    include: [include, join(include, 'torch/csrc/api/include'), ...cudaHeaders(folder, library)],
    library,
    abi: flag ? flag[1] : '1',
  };
}

/** LIBTORCH's folder, else the torch of the python3 that is active, else the system's. */
function findLibtorch() {
  const named = process.env.LIBTORCH;
  if (named) {
    return (
      fromFolder(named, `LIBTORCH=${named}`) ??
      fail(`LIBTORCH is set to ${named}, which has no include/ATen/ATen.h with lib/libtorch_cpu.so`)
    );
  }
  // Finding the package does not need what importing it needs.
  const python = output('python3', [
    '-c',
    "from importlib.util import find_spec as f; print(f('torch').submodule_search_locations[0])",
  ]);
  return (
    (python && fromFolder(python, `the torch of ${output('sh', ['-c', 'command -v python3'])}`)) ||
    fromFolder('/usr', 'the system')
  );
}

/** Installs Debian packages, saying so first. */
function aptInstall(packages, why) {
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (!has('apt-get')) {
    fail(
      `${why}. Get libtorch from https://pytorch.org (or \`pip install torch\`) and set LIBTORCH to its folder;\n` +
        'a C++17 compiler and cmake are needed too. Then run this again.',
    );
  }
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && !has('sudo')) fail(`${why}. As root, run:\n  apt-get update && ${command}`);
  say(`${why}; installing ${packages.join(', ')} with apt`);
  const prefix = isRoot ? [] : ['sudo'];
  const environment = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  const apt = (...args) => run(prefix[0] ?? args[0], prefix.length ? args : args.slice(1), environment);
  apt('apt-get', 'update');
  apt('apt-get', 'install', '-y', '--no-install-recommends', ...packages);
}

function ensureLibtorch() {
  const tools = [];
  if (!has('cmake')) tools.push('cmake');
  if (!has('make')) tools.push('make');
  if (!has('c++')) tools.push('g++');
  if (tools.length > 0) aptInstall(tools, 'the bridge to libtorch is compiled here');
  let libtorch = findLibtorch();
  if (!libtorch) {
    aptInstall(['libtorch-dev', 'libopenblas0-openmp'], 'no libtorch was found');
    libtorch =
      findLibtorch() ?? fail('libtorch-dev is installed, but its headers are not where they should be');
  }
  return libtorch;
}

/**
 * The folder of the BLAS that the bridge is to bring along, whatever the system's own choice: Debian's default is the
 * reference one, 40 times slower in matrix products. OpenBLAS comes in several builds; that on OpenMP shares its threads with
 * libtorch, while those of the one on pthreads spin beside them: with other work on the cores a step took 2.4 times as long.
 */
function ensureBlas(libtorch) {
  if (libtorch.source !== 'the system') return undefined;
  const folder = join(libtorch.library, 'openblas-openmp');
  const there = () => existsSync(join(folder, 'libblas.so.3'));
  if (!there()) aptInstall(['libopenblas0-openmp'], 'matrix products need OpenBLAS');
  if (!there()) fail(`libopenblas0-openmp is installed, but ${folder} has no libblas.so.3`);
  return folder;
}

/** Data parallel on CPUs: Debian's libtorch has Gloo inside, but its headers are in a package of their own. */
function ensureGloo(libtorch) {
  if (libtorch.source !== 'the system' || existsSync('/usr/include/gloo/context.h')) return;
  aptInstall(['libgloo-dev'], 'training in several processes needs the headers of Gloo');
}

// ---- the native addons ----

/**
 * Compiles a package's addon, unless it was compiled from the same already.
 * @param depends what it is made of beside its own sources. @param defines for cmake.
 * @returns whether it was compiled.
 */
function compileAddon(folder, what, depends, defines) {
  const native = join(folder, 'native');
  const sources = readdirSync(native, { recursive: true })
    .filter((file) => /\.(cpp|h)$/.test(file))
    .sort();
  const parts = [join(folder, 'CMakeLists.txt'), ...sources.map((file) => join(native, file))];
  const key = hash(...depends, root, ...parts.map((file) => readFileSync(file)));
  const build = join(folder, 'build');
  return once(join(build, '.stamp'), key, () => {
    say(`building ${what}`);
    rmSync(build, { recursive: true, force: true });
    mkdirSync(build, { recursive: true });
    const headers = ['node-api-headers/include', 'node-addon-api'].map((name) =>
      join(root, 'node_modules', name),
    );
    run('cmake', ['-S', folder, '-B', build, `-DNODE_API_INCLUDE_DIRS=${headers.join(';')}`, ...defines]);
    run('cmake', ['--build', build, '--parallel', String(availableParallelism())]);
  });
}

function buildBridge(libtorch, blas) {
  const versions = ['torch/version.h', 'torch/headeronly/version.h']
    .flatMap((file) => libtorch.include.slice(0, 2).map((folder) => join(folder, file)))
    .filter((file) => existsSync(file));
  const libraries = ['torch', 'torch_cpu', 'c10', 'torch_cuda', 'c10_cuda'].filter((name) =>
    existsSync(join(libtorch.library, `lib${name}.so`)),
  );
  return compileAddon(
    torchPackage,
    `the bridge to libtorch (${libtorch.source})`,
    [JSON.stringify([libtorch, blas]), ...versions.map((file) => readFileSync(file))],
    [
      `-DTORCH_INCLUDE_DIRS=${libtorch.include.join(';')}`,
      `-DTORCH_LIBRARY_DIR=${libtorch.library}`,
      `-DTORCH_LIBRARIES=${libraries.join(';')}`,
      `-DTORCH_CXX11_ABI=${libtorch.abi}`,
      `-DBLAS_LIBRARY_DIR=${blas ?? ''}`,
    ],
  );
}

/** Without libdeflate libvips decodes PNG files, which takes longer: a libtorch of one's own may be where apt is not. */
function buildPngDecoder(libtorch) {
  const there = () => existsSync('/usr/include/libdeflate.h');
  if (!there() && libtorch.source === 'the system') {
    aptInstall(['libdeflate-dev'], 'PNG files are decoded with libdeflate');
  }
  const folder = join(root, 'packages/pgpc');
  if (there()) {
    compileAddon(folder, 'the decoder of PNG files', [], []);
    return;
  }
  say('no libdeflate here (libdeflate-dev of Debian and Ubuntu), which decodes PNG files faster');
  // One that was built when it was there could not be loaded.
  rmSync(join(folder, 'build'), { recursive: true, force: true });
}

function generateTypes(rebuilt) {
  const generator = join(torchPackage, 'scripts/generate-types.mjs');
  const key = hash(readFileSync(generator));
  const stamp = join(torchPackage, 'src/generated/.stamp');
  if (rebuilt) rmSync(stamp, { force: true });
  mkdirSync(join(torchPackage, 'src/generated'), { recursive: true });
  once(stamp, key, () => execFileSync(process.execPath, [generator], { cwd: root, stdio: 'inherit' }));
}

if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`Node 20 or newer is needed; this is ${process.version}`);
if (process.platform === 'win32') fail('Windows is supported through WSL: run this inside it');
installPackages();
const libtorch = ensureLibtorch();
const blas = ensureBlas(libtorch);
ensureGloo(libtorch);
const rebuilt = buildBridge(libtorch, blas);
buildPngDecoder(libtorch);
generateTypes(rebuilt);
run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b', 'packages/pgpc']);
say(
  `ready in ${((Date.now() - started) / 1000).toFixed(1)} s (libtorch: ${libtorch.source}; BLAS: ${blas ?? 'its own'})`,
);
