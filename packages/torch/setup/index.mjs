// Builds the bridge to libtorch, and the types of the operators that this libtorch has.

import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hash } from '@pgpc/addon';
import { compileAddon, lackingTools, place, refuseLacks, run } from '@pgpc/addon/build';
import { blasFolder, findLibtorch, hasGloo, identity } from './libtorch.mjs';

const folder = fileURLToPath(new URL('..', import.meta.url));
const generator = fileURLToPath(new URL('generate-types.mjs', import.meta.url));

/** What must be installed first. @returns {import('@pgpc/addon/build').Lack[]} @throws Error if LIBTORCH is wrong. */
export function lacks() {
  const libtorch = findLibtorch();
  if (!libtorch) {
    const otherwise =
      'pip install torch, or unpack an archive from https://pytorch.org and set LIBTORCH to its folder';
    const packages = ['libtorch-dev', 'libopenblas0-openmp', 'libgloo-dev'];
    return [...lackingTools(), { why: 'no libtorch was found', packages, otherwise }];
  }
  const blas = blasFolder(libtorch);
  const found = lackingTools();
  if (blas && !existsSync(join(blas, 'libblas.so.3'))) {
    found.push({ why: 'matrix products need OpenBLAS', packages: ['libopenblas0-openmp'] });
  }
  if (libtorch.isSystem && !hasGloo()) {
    const why = 'training in several processes needs the headers of Gloo';
    found.push({ why, packages: ['libgloo-dev'], isOptional: true });
  }
  return found;
}

/**
 * Compiles the bridge, unless the cache has it, and writes the types of its operators.
 * @param {import('@pgpc/addon/build').SetUpOptions} [options]
 * @returns {Promise<string>} what computes, in words
 * @throws Error in two lines if something must be installed first; with the compiler's output if it fails.
 */
export async function setUp({ say = () => {}, signal } = {}) {
  const { built, libtorch } = await buildBridge({ say, ...(signal && { signal }) });
  await writeTypes(built, say);
  return `libtorch: ${libtorch.source}; BLAS: ${blasFolder(libtorch) ?? 'its own'}`;
}

/**
 * Compiles the bridge, unless the cache has it, and makes it the one that this folder loads.
 * @param {import('@pgpc/addon/build').SetUpOptions} [options]
 * @returns {Promise<{ built: string, libtorch: import('./libtorch.mjs').Libtorch }>} its folder in the cache
 * @throws Error as {@link setUp}
 */
export async function buildBridge({ say = () => {}, signal } = {}) {
  refuseLacks(lacks(), say);
  const libtorch = findLibtorch();
  if (!libtorch) throw new Error('no libtorch was found');
  const libraries = ['torch', 'torch_cpu', 'c10', 'torch_cuda', 'c10_cuda'].filter((name) =>
    existsSync(join(libtorch.library, `lib${name}.so`)),
  );
  const built = await compileAddon(
    {
      folder,
      name: 'bridge',
      what: `the bridge to libtorch (${libtorch.source})`,
      depends: identity(libtorch),
      defines: [
        `-DTORCH_INCLUDE_DIRS=${libtorch.include.join(';')}`,
        `-DTORCH_LIBRARY_DIR=${libtorch.library}`,
        `-DTORCH_LIBRARIES=${libraries.join(';')}`,
        `-DTORCH_CXX11_ABI=${libtorch.abi}`,
        `-DBLAS_LIBRARY_DIR=${blasFolder(libtorch) ?? ''}`,
      ],
    },
    { say, ...(signal && { signal }) },
  );
  return { built, libtorch };
}

/**
 * Writes the operators' declarations where TypeScript looks for them; the cache keeps them beside the bridge.
 * @param {string} built @param {(text: string) => void} say
 */
async function writeTypes(built, say) {
  const types = join(built, `operators-${hash(readFileSync(generator)).slice(0, 32)}.d.ts`);
  if (!existsSync(types)) await run(process.execPath, [generator, join(built, 'bridge.node'), types]);
  const isRepository = existsSync(join(folder, 'src'));
  const target = join(folder, isRepository ? 'src/generated/ops.ts' : 'dist/generated/ops.d.ts');
  if (existsSync(target) && readFileSync(target).equals(readFileSync(types))) return;
  try {
    place(target, (fresh) => copyFileSync(types, fresh));
  } catch (error) {
    if (isRepository) throw error;
    say(`the types of operators do not fit this libtorch: ${target} cannot be written`);
  }
}
