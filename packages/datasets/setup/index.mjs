// Builds the decoder of PNG files. Without it libvips decodes them, which takes longer.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compileAddon, lackingTools, refuseLacks } from '@pgpc/addon/build';

const folder = fileURLToPath(new URL('..', import.meta.url));

/** What must be installed first; nothing that is needed. @returns {import('@pgpc/addon/build').Lack[]} */
export function lacks() {
  const lacking = existsSync('/usr/include/libdeflate.h')
    ? []
    : [{ why: 'no libdeflate, which decodes PNG files faster', packages: ['libdeflate-dev'] }];
  return [...lackingTools(), ...lacking].map((lack) => ({ ...lack, isOptional: true }));
}

/**
 * Compiles the decoder, unless the cache has it or something that it needs is lacking.
 * @param {import('@pgpc/addon/build').SetUpOptions} [options]
 * @returns {Promise<string>} what decodes PNG files, in words
 */
export async function setUp({ say = () => {}, signal } = {}) {
  const lacking = lacks();
  refuseLacks(lacking, say);
  if (lacking.length > 0) return 'PNG files: libvips';
  await compileAddon(
    { folder, name: 'png', what: 'the decoder of PNG files' },
    { say, ...(signal && { signal }) },
  );
  return 'PNG files: libdeflate';
}
