// The package's tests, and generated calls, with AddressSanitizer and UndefinedBehaviorSanitizer in the bridge:
//
//   node packages/torch/test/fuzz/sanitize.mjs [--calls 100000] [--seed 1] [--libtorch FOLDER] [TEST...]
//
// Libtorch itself is not instrumented; what it takes from malloc, and copies with memcpy, is looked at all the same.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { environmentFor } from './bridge.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calls: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    libtorch: { type: 'string' },
  },
});

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const reports = mkdtempSync(join(tmpdir(), 'sanitizers-'));
const env = await environmentFor({ libtorch: flags.libtorch, sanitize: true });
const into = `:log_path=${join(reports, 'report')}`;
env.ASAN_OPTIONS += into;
env.UBSAN_OPTIONS += into;

const tests = positionals.length > 0 ? positionals : ['packages/torch/test'];
// The search's own tests limit address space, which the sanitizer takes terabytes of.
const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...tests, '--exclude', '**/fuzz.test.ts'];
const { status } = spawnSync(process.execPath, vitest, { cwd: root, env, stdio: 'inherit' });

const search = fileURLToPath(new URL('search.mjs', import.meta.url));
const libtorch = flags.libtorch === undefined ? [] : ['--libtorch', flags.libtorch];
const calls = ['--sanitize', '--calls', flags.calls, '--seed', flags.seed, ...libtorch];
const searched = spawnSync(process.execPath, [search, ...calls], { stdio: 'inherit' });

const found = readdirSync(reports);
for (const report of found) console.log(readFileSync(join(reports, report), 'utf8'));
console.log(
  JSON.stringify({
    testsPassed: status === 0,
    searchPassed: searched.status === 0,
    reports: found.length,
    in: reports,
  }),
);
process.exitCode = status === 0 && searched.status === 0 && found.length === 0 ? 0 : 1;
