// The bridge that the search calls: that of another libtorch, or one with sanitizers, is compiled into a cache of its own, so
// that the checkout keeps the bridge and the types that set-up gave it.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { cacheFolder, hash } from '@pgpc/addon';

// vptr needs type information that libtorch does not export.
const sanitizers = '-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined';

/**
 * The environment in which a process loads the bridge that is meant, compiled first where it is not there.
 * @param {{ libtorch?: string, sanitize?: boolean }} which a folder as LIBTORCH takes it; default is what set-up chose
 */
export async function environmentFor({ libtorch, sanitize = false }) {
  const env = {
    ...process.env,
    OMP_NUM_THREADS: '1',
    MALLOC_ARENA_MAX: '2',
    // Warnings are no concern here, and there are thousands.
    GLOG_minloglevel: '2',
    TORCH_CPP_LOG_LEVEL: 'ERROR',
  };
  if (libtorch !== undefined) env.LIBTORCH = libtorch;
  if (libtorch !== undefined || sanitize) {
    env.PGPC_CACHE = join(cacheFolder(), 'fuzz', hash(libtorch ?? '', String(sanitize)).slice(0, 8));
    const build = { ...env };
    if (sanitize) {
      build.CXXFLAGS = `${sanitizers} -fno-omit-frame-pointer -g1`;
      build.LDFLAGS = sanitizers;
    }
    const program = `import { buildBridge } from '${new URL('../../setup/index.mjs', import.meta.url).href}';
      await buildBridge({ say: (text) => console.error(text) });`;
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { env: build, stdio: 'inherit' });
  }
  if (sanitize) Object.assign(env, sanitizerEnvironment());
  return env;
}

/** Node itself is not instrumented, so the runtime must be there before it. */
function sanitizerEnvironment() {
  const library = (name) => execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
  return {
    LD_PRELOAD: library('libasan.so'),
    // Node leaves memory to the end of the process, and V8 reserves more address space than there is memory. A tensor that is
    // too large has to be refused, as malloc would do, not to be a report.
    ASAN_OPTIONS:
      'detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048:detect_odr_violation=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
}

/** Compiles guard.c into a folder. @returns the library's path, for LD_PRELOAD */
export function buildGuard(folder) {
  const file = join(folder, 'guard.so');
  const source = new URL('guard.c', import.meta.url).pathname;
  execFileSync('cc', ['-O2', '-Wall', '-shared', '-fPIC', '-o', file, source, '-ldl', '-lpthread'], {
    stdio: 'inherit',
  });
  return file;
}
