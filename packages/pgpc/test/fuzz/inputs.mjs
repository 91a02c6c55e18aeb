// Reads damaged files by the functions that read people's files, and reports what is neither read nor refused by name: crashes,
// hangs, memory, errors of other kinds. Runs what `tsc -b` built.
//
//   node packages/pgpc/test/fuzz/inputs.mjs --input png --count 100000 --seed 1 [--from K] [--out FOLDER]
//
// Inputs: png, pictures, safetensors, pth, classes, lists, run, config, or all. Input K of a seed is always the same, so that
// `--from K --count 1` repeats one. The first input of every kind of fault is kept in --out, made smaller.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { kinds } from './kinds/index.mjs';
import { smallest } from './smallest.mjs';

const { values: flags } = parseArgs({
  options: {
    input: { type: 'string', default: 'all' },
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    out: { type: 'string' },
  },
});
const [count, seed, from] = [flags.count, flags.seed, flags.from].map(Number);
const names = flags.input === 'all' ? Object.keys(kinds) : flags.input.split(',');
const unknown = names.find((name) => !Object.hasOwn(kinds, name));
if (unknown !== undefined)
  throw new Error(`--input ${unknown}: there are ${Object.keys(kinds).join(', ')}, all`);

/** What ends in less, but in more than an input may take, the child tells of. */
const HANG_SECONDS = 30;
/** Of address space: what is taken by a claimed size is refused by the system, and ends the process. */
const MOST_KIB = 48 * 2 ** 20;
/** Processes that end before their time. */
const MOST_DEATHS = 50;
/** A process reads so many, as modules that are loaded by name stay. */
const PER_PROCESS = 200_000;
/** Inputs that are read at once, of kinds that wait for threads. */
const MOST_LANES = 16;
/** As the child has it. */
const BATCH = 128;

const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
let failed = false;
for (const name of names) await fuzz(name);
process.exitCode = failed ? 1 : 0;

async function fuzz(name) {
  const folder = mkdtempSync(join(memory, 'fuzz-'));
  const faults = new Map();
  const sum = { read: 0, refused: 0 };
  let longest = 0;
  let deaths = 0;
  const note = (index, { fault, ...rest }) => {
    const known = faults.get(fault);
    if (known) known.times++;
    else {
      faults.set(fault, { index, times: 1, ...rest });
      console.log(`${name} ${index}: ${fault}`);
    }
  };
  const begin = performance.now();
  const last = from + count;
  // After a death in a batch of inputs that are read at once, they are read one by one.
  let oneByOneTo = from;
  for (let at = from; at < last && deaths < MOST_DEATHS; ) {
    const alone = at < oneByOneTo;
    const part = alone ? oneByOneTo - at : Math.min(PER_PROCESS, last - at);
    const onFault = (message) => note(message.index, message);
    const ended = await runChild(name, at, part, alone ? 1 : MOST_LANES, folder, onFault);
    if (ended.done) {
      sum.read += ended.done.read;
      sum.refused += ended.done.refused;
      longest = Math.max(longest, ended.done.longest.seconds);
      at += part;
      continue;
    }
    if (ended.at === undefined)
      throw new Error(`${name}: ended before it read: ${ended.how}\n${ended.stderr}`);
    deaths++;
    at = ended.at;
    if (alone) {
      note(at, { fault: ended.how, stack: ended.stderr });
      at++;
    } else oneByOneTo = Math.min(last, at + BATCH);
  }
  const seconds = (performance.now() - begin) / 1000;
  const out = flags.out && join(flags.out, name);
  if (out && faults.size > 0) await keep(name, faults, out, folder);
  rmSync(folder, { recursive: true, force: true });
  failed ||= faults.size > 0;
  const result = { input: name, seed, from, count, ...sum, faults: faults.size, deaths };
  console.log(
    JSON.stringify({
      ...result,
      longest: Number(longest.toFixed(2)),
      perSecond: Math.round(count / seconds),
    }),
  );
}

function runChild(name, at, part, lanes, folder, onFault) {
  const log = join(folder, 'at');
  writeFileSync(log, '');
  const child = fileURLToPath(new URL('child.mjs', import.meta.url));
  const command = [
    process.execPath,
    '--expose-gc',
    '--max-semi-space-size=4',
    child,
    name,
    seed,
    at,
    part,
    lanes,
    folder,
  ];
  return new Promise((resolve) => {
    const running = spawn('sh', ['-c', `ulimit -v ${MOST_KIB} && exec "$@"`, 'sh', ...command.map(String)], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, OMP_NUM_THREADS: '1' },
    });
    let [rest, stderr, seen, hung, done, ready] = ['', '', '', false, undefined, false];
    const watch = setInterval(() => {
      const now = readFileSync(log, 'utf8');
      if (ready && now === seen) {
        hung = true;
        running.kill('SIGKILL');
      }
      seen = now;
    }, HANG_SECONDS * 1000);
    running.stdout.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        const message = JSON.parse(line);
        if (message.done) done = message;
        else if (message.ready) ready = true;
        else onFault(message);
      }
    });
    running.stderr.on('data', (text) => {
      stderr = (stderr + text).slice(-4000);
    });
    running.on('close', (code, signal) => {
      clearInterval(watch);
      const place = readFileSync(log, 'latin1').split(' ')[0];
      const how = hung ? 'hangs' : `ends the process: ${signal ?? `exit ${code}`}`;
      resolve({ done, at: place === '' ? undefined : Number(place), how, stderr });
    });
  });
}

/** Writes the files of the first input of each fault, as small as the fault lets them be, and how it came. */
async function keep(name, faults, out, folder) {
  let number = 0;
  for (const [fault, { index, times, stack }] of faults) {
    // Of the finds that are kept already.
    if (index < 0) continue;
    const place = join(out, `${seed}-${index}`);
    mkdirSync(place, { recursive: true });
    const files = await smallest(name, seed, index, fault, join(folder, `small-${number++}`));
    for (const [file, bytes] of files) {
      mkdirSync(join(place, file, '..'), { recursive: true });
      writeFileSync(join(place, file), bytes);
    }
    writeFileSync(
      join(place, 'fault.json'),
      `${JSON.stringify({ input: name, seed, index, fault, times, stack }, null, 2)}\n`,
    );
  }
}
