// What identifies a processor to libraries that choose their kernels by it.

import { describe, expect, test } from 'vitest';
import { coreKind } from '../src/core-kind.js';
import { buildInfo } from '../src/index.js';

describe('the kind of a core', () => {
  test('of x86: family, model and vector instructions, and not its clock', () => {
    const core = [
      'processor\t: 0',
      'vendor_id\t: AuthenticAMD',
      'cpu family\t: 25',
      'model\t\t: 17',
      'model name\t: AMD EPYC',
      'cpu MHz\t\t: 2396.1',
      'flags\t\t: fpu sse2 fma avx avx2 avx512f avx512vl avx512_bf16',
      'bugs\t\t: spectre_v1',
    ].join('\n');
    expect(coreKind(core)).toBe('family 25, model 17, avx2 avx512_bf16 avx512f fma');
    expect(coreKind(core.replace('2396.1', '3700.0'))).toBe(coreKind(core));
    expect(coreKind(core.replace('model\t\t: 17', 'model\t\t: 1'))).not.toBe(coreKind(core));
    expect(coreKind(core.replace('avx512f ', ''))).not.toBe(coreKind(core));
  });

  test('of ARM', () => {
    const core = 'processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40';
    expect(coreKind(core)).toBe('CPU implementer 0x41, CPU part 0xd40, asimd bf16 sve');
  });

  test('is known here', () => {
    expect(buildInfo().core).toMatch(/(family|CPU part) \S+.*, \w/);
  });
});
