// Looks for libtorch, for the BLAS that goes with it, and for the headers that it leaves out.

import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { output } from '@pgpc/addon/build';

/**
 * @typedef {object} Libtorch
 * @property {string} source where it is from, as people call it
 * @property {boolean} isSystem whether it is the distribution's
 * @property {string[]} include folders of headers
 * @property {string} library folder of libraries
 * @property {string} abi _GLIBCXX_USE_CXX11_ABI that it was compiled with
 */

/** The folder of Debian's libraries under a prefix; elsewhere `lib` itself. @param {string} prefix */
const multiarch = (prefix) => join(prefix, 'lib', output('gcc', ['-print-multiarch']) ?? '');

/**
 * Headers of CUDA and NCCL, which libtorch leaves out: from Python's packages beside torch, and from the toolkit.
 * @param {string} folder @param {string} library
 */
function cudaHeaders(folder, library) {
  if (!existsSync(join(library, 'libtorch_cuda.so'))) return [];
  const beside = join(folder, '../nvidia');
  const packages = existsSync(beside) ? readdirSync(beside).map((name) => join(beside, name)) : [];
  return [...packages, process.env.CUDA_HOME ?? '/usr/local/cuda']
    .map((place) => join(place, 'include'))
    .filter((place) => existsSync(place));
}

/**
 * A folder laid out like the libtorch archive or Python's torch package, or the system's `/usr`.
 * @param {string} folder @param {string} source @returns {Libtorch | undefined}
 */
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
      isSystem: true,
      include: ['/usr/include', '/usr/include/torch/csrc/api/include'],
      library: system,
      abi: '1',
    };
  }
  // Older releases from pytorch.org for Python say here that they use the C++ library's old strings.
  const config = join(folder, 'share/cmake/Torch/TorchConfig.cmake');
  const flag = existsSync(config)
    ? /_GLIBCXX_USE_CXX11_ABI=([01])/.exec(readFileSync(config, 'utf8'))
    : undefined;
  return {
    source,
    isSystem: false,
    include: [include, join(include, 'torch/csrc/api/include'), ...cudaHeaders(folder, library)],
    library,
    abi: flag?.[1] ?? '1',
  };
}

/**
 * LIBTORCH's folder, else the torch of the python3 that is active, else the system's.
 * @throws Error if LIBTORCH names a folder without libtorch.
 */
export function findLibtorch() {
  const named = process.env.LIBTORCH;
  if (named) {
    const found = fromFolder(named, `LIBTORCH=${named}`);
    if (found) return found;
    throw new Error(`LIBTORCH is set to ${named}, which has no include/ATen/ATen.h with lib/libtorch_cpu.so`);
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

/**
 * The folder of the BLAS that the bridge is to bring along, whatever the system's own choice: Debian's default is the
 * reference one, 40 times slower in matrix products. OpenBLAS comes in several builds; that on OpenMP shares its threads with
 * libtorch; the threads of the build on pthreads spin beside them: with other work on the cores a step took 2.4 times as long.
 * @param {Libtorch} libtorch
 */
export const blasFolder = ({ isSystem, library }) =>
  isSystem ? join(library, 'openblas-openmp') : undefined;

/** Data parallel on CPUs: Debian's libtorch has Gloo inside, but its headers are in a package of their own. */
export const hasGloo = () => existsSync('/usr/include/gloo/context.h');

/** What a build depends on: this libtorch, at this place, in this version. @param {Libtorch} libtorch */
export function identity(libtorch) {
  const versions = ['torch/version.h', 'torch/headeronly/version.h']
    .flatMap((file) => libtorch.include.slice(0, 2).map((folder) => join(folder, file)))
    .filter((file) => existsSync(file));
  return [
    JSON.stringify([libtorch, statSync(join(libtorch.library, 'libtorch_cpu.so')).size, hasGloo()]),
    ...versions.map((file) => readFileSync(file, 'utf8')),
  ];
}
