// What libraries choose their kernels by.

/** Instructions by which BLAS libraries and oneDNN choose. */
const CHOSEN_BY = /^(avx2|fma|avx512(f|_vnni|_bf16|_fp16)|avx_vnni|amx_\w+|sve\w*|asimd|bf16)$/;

/**
 * Family and model of a core, and its vector instructions. Virtual machines give one name to many models, and libtorch's own
 * kernels may use fewer instructions than its BLAS does.
 * @param core its entry in /proc/cpuinfo.
 */
export function coreKind(core: string): string {
  const fields = new Map(core.split('\n').map((line) => line.split(/\s*:\s*/, 2) as [string, string]));
  const named = ['cpu family', 'model', 'CPU implementer', 'CPU part'].flatMap((name) => {
    const value = fields.get(name);
    return value === undefined ? [] : [`${name.replace('cpu ', '')} ${value}`];
  });
  const flags = (fields.get('flags') ?? fields.get('Features') ?? '').split(' ');
  const vectors = flags.filter((flag) => CHOSEN_BY.test(flag)).toSorted();
  return [...named, vectors.join(' ')].filter((part) => part !== '').join(', ');
}
