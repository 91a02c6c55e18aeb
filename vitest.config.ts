import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const root = fileURLToPath(new URL('.', import.meta.url));
const packages = join(root, 'packages/');

// Test files run side by side, a process a core: their small tensors gain nothing from a second thread.
process.env.OMP_NUM_THREADS ??= '1';

/**
 * What a test file does that needs a process of its own: it counts what lives in the process, which the garbage of other
 * files would change, or it changes the process for those after it.
 */
const NEEDS_PROCESS =
  /\b(liveTensors|memoryUsage|setNumThreads|registerPart|chdir|vi\.(mock|spyOn)|CrashStates|process\.env\.\w+ = |meta-kernels)/;

const testFiles = [...readdirSync(packages).map((name) => `packages/${name}/test`), 'examples/test'].flatMap(
  (folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => `${folder}/${file}`),
);
const alone = testFiles.filter((file) => NEEDS_PROCESS.test(readFileSync(join(root, file), 'utf8')));

/** What takes longest, most of it in processes that it starts; by their sizes these files would come last. */
const LONGEST = [
  'comparison/demo',
  'training/distributed',
  'ablation/run',
  'comparison/adapt',
  'cli/tutorial',
  'packaging/install',
  'training/saved-run',
  'examples/test/own-loss',
  'examples/test/adapt',
  'examples/test/digits',
];

/** Starts the longest first, so that no core waits for one of them at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

// Tests run from the sources; the command line's own tests run what `tsc -b` built.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@pgpc\/(torch|datasets|street-synth)$/, replacement: `${packages}$1/src/index.ts` },
      { find: /^@pgpc\/datasets\/(formats|did-you-mean)$/, replacement: `${packages}datasets/src/$1.ts` },
    ],
  },
  test: {
    // Libtorch keeps state in the process: threads, operators.
    pool: 'forks',
    maxWorkers: '100%',
    testTimeout: 60_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      { extends: true, test: { name: 'alone', include: alone } },
      // Importing libtorch and the sources takes longer than most files' tests: these share what is imported.
      {
        extends: true,
        test: {
          name: 'together',
          include: testFiles.filter((file) => !alone.includes(file)),
          isolate: false,
        },
      },
    ],
  },
});
