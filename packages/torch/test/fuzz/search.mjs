// Searches for calls that end the process or hang: every form of every operator, with generated arguments, in child processes.
// A call that ends one is made smaller, and written down with what happened.
//
//   node packages/torch/test/fuzz/search.mjs --calls 100000 --seed 1
//
//   --libtorch FOLDER    another libtorch, as LIBTORCH takes it; its bridge is compiled first
//   --skip N             passes over the first N calls of the seed, as an earlier search made them
//   --per N              calls of one form before the next (default 25); later ones vary earlier ones that ran
//   --operators A,B      these alone, as aten::add; `closed` are all of unsafe-ops.ts
//   --open               without the closed list and the guards
//   --guard              memory of tensors ends at pages that may not be touched (guard.c)
//   --sanitize           the bridge with AddressSanitizer and UndefinedBehaviorSanitizer
//   --record FILE        adds what is found to a file such as findings.json
//   --replay FILE        makes the calls of such a file instead
//
// Ctrl-C or SIGTERM end the search early: it counts and records what there is until then.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { simpler } from './arguments.mjs';
import { buildGuard, environmentFor } from './bridge.mjs';
import { read, shown, written } from './values.mjs';

const { values: flags } = parseArgs({
  options: {
    calls: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    per: { type: 'string', default: '25' },
    skip: { type: 'string', default: '0' },
    libtorch: { type: 'string' },
    operators: { type: 'string', default: '' },
    open: { type: 'boolean', default: false },
    guard: { type: 'boolean', default: false },
    sanitize: { type: 'boolean', default: false },
    record: { type: 'string' },
    replay: { type: 'string' },
  },
});

/** A call hangs if it takes more than this of the processor, or more than six times this at all. */
const HANG_SECONDS = 10;
const MEMORY_KIB = 5 * 2 ** 20;
/** How many deaths making a call smaller may cost. */
const SMALLER = 2;

const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
const env = await environmentFor(flags);
const guard = flags.guard ? buildGuard(folder) : undefined;
if (guard) env.LD_PRELOAD = guard;
const sum = { calls: 0, returned: 0, typeError: 0, torchError: 0, backward: 0, live: 0 };
let libtorch = '';
let running;
let isStopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    isStopped = true;
    running?.kill('SIGKILL');
  });
}
try {
  const found = flags.replay ? await replay(read(readFileSync(flags.replay, 'utf8'))) : await search();
  console.log(JSON.stringify({ libtorch, seed: Number(flags.seed), ...sum, deaths: found.length }));
  process.exitCode = found.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function search() {
  const per = Number(flags.per);
  const plan = {
    seed: Number(flags.seed),
    per,
    from: Math.floor(Number(flags.skip) / per),
    to: Math.ceil((Number(flags.skip) + Number(flags.calls)) / per),
    operators: await operators(),
    dead: [],
    isOpen: flags.open,
  };
  const found = [];
  while (plan.from < plan.to) {
    const ended = await run(plan);
    count(ended);
    if (ended.how === undefined || isStopped) break;
    const finding = await smallest(ended);
    console.log(`${finding.how}${finding.isAlone ? '' : ', only after other calls'}: ${finding.shown}`);
    if (ended.stderr) console.log(ended.stderr);
    found.push(finding);
    if (flags.record) record(flags.record, [finding]);
    plan.from = ended.place + 1;
    plan.dead.push(ended.name.split('.')[0]);
  }
  return found;
}

async function operators() {
  if (flags.operators !== 'closed') return flags.operators.split(',').filter(Boolean);
  const { unsafeOperators } = await import('../../dist/unsafe-ops.js');
  return [...unsafeOperators.keys()];
}

/** Makes the calls of findings; what still ends the process is found. */
async function replay(findings) {
  const found = [];
  let rest = findings;
  while (rest.length > 0) {
    const calls = rest.map(({ operator, call }) => ({ name: operator, call }));
    const ended = await run({ calls, isOpen: flags.open });
    count(ended);
    if (ended.how === undefined) break;
    found.push({ ...rest[ended.place], how: ended.how });
    console.log(`${ended.how}: ${rest[ended.place].shown}`);
    rest = rest.slice(ended.place + 1);
  }
  return found;
}

function count({ counts }) {
  for (const [key, n] of Object.entries(counts)) if (key in sum) sum[key] += n;
  libtorch = counts.libtorch ?? libtorch;
}

/** The smallest call found that ends the process as this one did. */
async function smallest({ name, call, how }) {
  const { native } = await import('../../dist/native.js');
  const [qualified, form = ''] = name.split('.');
  const overload = native.lookup(qualified).find((candidate) => candidate.overload === form);
  let best = call;
  let isAlone = how === 'hang';
  // An operator that this process's libtorch lacks is left as it was found; a hang takes its time each time.
  for (let deaths = 0; deaths < SMALLER && overload && how !== 'hang'; deaths++) {
    const candidates = [...simpler(best, overload), ...(isAlone ? [] : [call])];
    const ended = await run({
      calls: candidates.map((candidate) => ({ name, call: candidate })),
      isOpen: flags.open,
    });
    if (ended.how === undefined) break;
    best = ended.call;
    isAlone = true;
  }
  return { operator: name, libtorch, how, isAlone, guard: flags.guard, shown: shown(name, best), call: best };
}

/** Runs a plan in a child. @returns the counts, and what ended it if it did not end by itself */
function run(plan) {
  const planFile = join(folder, 'plan.json');
  const log = join(folder, 'log');
  writeFileSync(planFile, written(plan));
  writeFileSync(log, '');
  const program = fileURLToPath(new URL('calls.mjs', import.meta.url));
  // A result of 2 ** 32 elements has to be refused by the system here, not filled. The sanitizer needs its terabytes.
  const limit = flags.sanitize ? '' : `ulimit -v ${MEMORY_KIB};`;
  const script = `ulimit -c 0; ${limit} exec "$@"`;
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', script, 'sh', process.execPath, program, planFile, log], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running = child;
    const hangs = watch(child, log);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      if (stderr.length < 4000) stderr += text;
    });
    child.on('close', (code, signal) => {
      const hung = hangs();
      if (code === 0) {
        const counts = JSON.parse(stdout.trim().split('\n').at(-1));
        resolve({ counts });
        return;
      }
      const [head = '', call = ''] = readFileSync(log, 'utf8').split('\n');
      const [place, name, version, calls, returned, typeError, torchError, backward] = head.split(' ');
      if (name === undefined && !isStopped) throw new Error(`the child did not begin: ${stderr}`);
      const counts = {
        calls: Number(calls ?? -1) + 1,
        returned: Number(returned ?? 0),
        typeError: Number(typeError ?? 0),
        torchError: Number(torchError ?? 0),
        backward: Number(backward ?? 0),
        libtorch: version,
      };
      if (isStopped) {
        resolve({ counts });
        return;
      }
      const how = hung ? 'hang' : (signal ?? `exit ${code}`);
      resolve({ counts, how, place: Number(place), name, call: read(call), stderr: firstLines(stderr) });
    });
  });
}

function firstLines(text) {
  return text
    .trim()
    .split('\n')
    .filter((line) => !line.includes('Warning: '))
    .slice(0, flags.sanitize ? 30 : 6)
    .join('\n');
}

/** Kills a child whose log stands still. @returns what stops watching and says whether it had to */
function watch(child, log) {
  let hung = false;
  let seen = '';
  let since = { used: 0, at: Date.now() };
  const timer = setInterval(() => {
    const now = readFileSync(log, 'latin1');
    const used = processorSeconds(child.pid);
    if (now !== seen) {
      seen = now;
      since = { used, at: Date.now() };
    } else if (
      now !== '' &&
      (used - since.used > HANG_SECONDS || Date.now() - since.at > HANG_SECONDS * 6000)
    ) {
      hung = true;
      child.kill('SIGKILL');
    }
  }, 500);
  return () => {
    clearInterval(timer);
    return hung;
  };
}

function processorSeconds(pid) {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return 0;
  const fields = readFileSync(file, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Adds findings to a file: one for an operator's form and a libtorch, where it has none yet. */
function record(path, found) {
  const before = existsSync(path) ? read(readFileSync(path, 'utf8')) : [];
  const key = ({ operator, libtorch: version }) => `${operator} ${version}`;
  const known = new Set(before.map(key));
  const added = new Map(found.map((finding) => [key(finding), finding]));
  for (const [name, finding] of added) if (!known.has(name)) before.push(finding);
  const lines = before
    .toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
    .map((finding) => written(finding));
  writeFileSync(path, `[\n${lines.join(',\n')}\n]\n`);
}
