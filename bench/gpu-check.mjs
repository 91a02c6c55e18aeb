// What only a machine with an NVIDIA GPU can tell, in one run of eight minutes: versions, tests, the training step against
// PyTorch's, and the methods at the large scale.
//
//   node bench/gpu-check.mjs [--dry] [--only tests,step] [--minutes 8] [--out FOLDER] [--python python3]
//
// One part runs after the other, each with a time limit and a result file of its own. A part that fails stops none.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
// Not lib.mjs: it loads the bridge, which the first part builds.
import { markdown } from './table.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

const { values: flags } = parseArgs({
  options: {
    dry: { type: 'boolean', default: false },
    only: { type: 'string' },
    minutes: { type: 'string', default: '8' },
    out: { type: 'string', default: join(root, 'bench/results/gpu-check') },
    python: { type: 'string', default: process.env.PYTHON ?? 'python3' },
  },
});
const minutes = Number(flags.minutes);
if (!(minutes > 0 && minutes <= 1440)) {
  throw new RangeError(`--minutes is a number above 0, up to 1440, not ${flags.minutes}`);
}
const { python } = flags;
const out = resolve(flags.out);

/** Seconds for what comes after the last part: its file and the table. */
const END = 5;
/** Seconds before its limit at which a part is asked to end. */
const GRACE = 5;
/** Lines of a part's output that its file keeps. */
const KEPT_LINES = 100;

/** Tests that are skipped without a GPU are under these titles, in these files. */
const TESTS = "on a GPU|on 'cuda'";
const testFiles = [
  'packages/torch/test/cuda.test.ts',
  'packages/torch/test/device.test.ts',
  'packages/pgpc/test/adaptation/on-gpu.test.ts',
  'packages/pgpc/test/adaptation/precision-step.test.ts',
];

/** Of the step's limit, what its questions after the rounds may take beyond their budget. */
const STEP_END = 20;

/** Of the sweep's limit, what is left for runs to stop and for its table. */
const SWEEP_END = 15;
const SEEDS = 3;
const cells = ['source-only', 'self-training', 'pgpc', 'pgpc-plus', 'oracle'];
/** With these steps docs/results.md has two seeds of the large scale, on an H200. */
const MOST_STEPS = 1000;
/** Steps on the source for one of a cell. */
const SOURCE_SHARE = 2;
/** A run there took 70 s with five at once, for 1500 steps on average. */
const SECONDS_A_STEP = 70 / 1500 / 5;
/** Runs that wait for their seed's source network leave the GPU to few. */
const WAITING = 1.4;
/** Seconds of the sweep before its first step and after its last. */
const SWEEP_START = 50;
/** A training takes two cores, and the last one is for what watches them. */
const jobs = Math.max(1, Math.floor(availableParallelism() / 2) - 1);

/**
 * Steps of a cell that a sweep has time for. A seed's source network, four cells and the oracle, which trains for as long
 * as the source and a cell together, take 2 + 4 + 3 times as many.
 */
function stepsWithin(seconds) {
  const perStep = SEEDS * (SOURCE_SHARE + 4 + SOURCE_SHARE + 1) * SECONDS_A_STEP * WAITING;
  return Math.min(MOST_STEPS, Math.floor((seconds - SWEEP_START) / perStep / 50) * 50);
}

const sweepFolder = (steps) => `runs/gpu-check/${SOURCE_SHARE * steps}-${steps}`;

const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '?');
const percent = (value) => number(100 * value, 1);
/** What a command printed as JSON in its last line. */
const lastJson = ({ stdout }) => JSON.parse(stdout.trim().split('\n').at(-1));

/**
 * @typedef {object} Found
 * @property {string[]} figures for the table
 * @property {string[]} problems what makes the part a failed one
 * @property {Record<string, unknown>} [details] for its file
 */

/**
 * @typedef {object} Part
 * @property {number} least seconds without which it does not start
 * @property {number} most seconds that it is given if there is time
 * @property {(seconds: number) => string[][]} commands for a limit
 * @property {(seconds: number) => void} [prepare] before the commands
 * @property {(results: { stdout: string }[], seconds: number) => Found} read what the commands left
 */

/** @type {Record<string, Part>} */
const parts = {
  device: {
    least: 75,
    most: 90,
    commands: () => [
      ['node', 'scripts/setup.mjs'],
      [
        ...['node', '--input-type=module', '--eval'],
        "import { buildInfo } from '@pgpc/torch'; console.log(JSON.stringify(buildInfo()));",
      ],
      [
        ...[python, '-c'],
        'import json, torch; print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda}))',
      ],
    ],
    read([, bridge, peer]) {
      const ours = lastJson(bridge);
      const theirs = lastJson(peer);
      return {
        figures: [
          `${gpu?.name}, driver ${gpu?.driver_version}, ${gpu?.['memory.total']}`,
          `bridge on libtorch ${ours.libtorch}, GPU ${ours.cuda ? 'found' : 'not found'}`,
          `PyTorch ${theirs.version}, CUDA ${theirs.cuda}`,
          `${availableParallelism()} cores of ${cpus()[0]?.model}, Node ${process.version}`,
        ],
        problems: ours.cuda ? [] : ['the bridge finds no GPU: it was built on a libtorch without CUDA'],
        details: { gpu, bridge: ours, pytorch: theirs },
      };
    },
  },

  tests: {
    least: 45,
    most: 120,
    commands: () => [
      [
        ...['node', 'node_modules/vitest/vitest.mjs', 'run', ...testFiles, '--testNamePattern', TESTS],
        ...['--reporter', 'default', '--reporter', './bench/own/test-lines.mjs'],
      ],
    ],
    read([{ stdout }]) {
      const lines = stdout.split('\n').filter((line) => line.startsWith('{"test":'));
      const tests = lines.map((line) => JSON.parse(line));
      const failed = tests.filter(({ passed }) => !passed);
      const idle = testFiles.filter((file) => !tests.some((test) => test.file === file));
      return {
        figures: [`${tests.length - failed.length} passed, ${failed.length} failed`],
        problems: [
          ...failed.map(({ test, error }) => `${test}: ${error?.split('\n')[0]}`),
          ...idle.map((file) => `${file}: no test ran`),
        ],
        details: { tests },
      };
    },
  },

  step: {
    least: 150,
    most: 240,
    commands: (seconds) => [
      [
        ...['node', 'bench/gpu.mjs', '--methods', 'pgpc'],
        ...['--without-peer', 'self-training,daformer,pgpc-plus'],
        ...['--rounds', '5', '--steps-per-round', '5', '--budget', String(seconds - STEP_END)],
        ...['--python', python, '--results', out],
      ],
    ],
    // An earlier run's must not be taken for this one's.
    prepare: () => rmSync(join(out, 'gpu.json'), { force: true }),
    read() {
      const file = join(out, 'gpu.json');
      if (!existsSync(file)) return { figures: [], problems: ['no step was timed'] };
      const { sides = [], costs = [], equality = {}, failures } = JSON.parse(readFileSync(file, 'utf8'));
      const side = (of, name) => sides.find((one) => one.of === of && one.name.startsWith(name));
      const [graphs, eager] = [side('pgpc', 'CUDA graphs'), side('PyTorch', 'eager')];
      const compiled = side('PyTorch', 'compile');
      const furthest = Object.entries(equality).map(([precision, rows]) => {
        const largest = Math.max(...rows.map(({ difference }) => difference));
        return `losses in ${precision} within ${largest.toExponential(1)}`;
      });
      return {
        figures: [
          `PGPC ${number(graphs?.ms, 1)} ms a step, ${number(graphs?.toEager, 2)} of eager (${number(eager?.ms, 1)} ms)`,
          compiled
            ? `${number(graphs?.toCompiled, 2)} of torch.compile (${compiled.name}, ${number(compiled.ms, 1)} ms)`
            : 'torch.compile not timed',
          `${number(graphs?.reservedMiB, 0)} MiB reserved, eager ${number(eager?.reservedMiB, 0)}`,
          ...costs.map(({ method, over, ratio }) => `${method} / ${over} ${number(ratio, 3)}`),
          ...furthest,
        ],
        problems: failures.map(({ side: failed, error }) => `${failed}: ${error}`),
      };
    },
  },

  evidence: {
    least: 160,
    most: Number.POSITIVE_INFINITY,
    commands: (seconds) => {
      const steps = stepsWithin(seconds);
      return [
        [
          ...[
            'node',
            'packages/pgpc/bin/pgpc.js',
            'ablate',
            'evidence',
            '--scale',
            'large',
            '--device',
            'cuda',
          ],
          ...['--jobs', String(jobs), '--minutes', ((seconds - SWEEP_END) / 60).toFixed(2)],
          ...['--no-checkpoints', '--seeds', String(SEEDS), '--cells', cells.join()],
          ...['--source-steps', String(SOURCE_SHARE * steps), '--steps', String(steps)],
          ...['--out', sweepFolder(steps)],
        ],
      ];
    },
    read(_, seconds) {
      const steps = stepsWithin(seconds);
      const folder = join(root, sweepFolder(steps));
      const table = join(folder, 'evidence');
      if (!existsSync(join(table, 'table.csv'))) return { figures: [], problems: ['no run was trained'] };
      const rows = readFileSync(join(table, 'table.csv'), 'utf8').trim().split('\n').slice(1).map(fieldsOf);
      const ended = rows.reduce((sum, [, , seeds]) => sum + Number(seeds), 0);
      const wanted = SEEDS * cells.length;
      return {
        figures: [
          `${SOURCE_SHARE * steps} + ${steps} steps, ${ended} of ${wanted} runs`,
          ...rows.map(
            ([, label, seeds, mean, spread]) =>
              `${label} ${percent(Number(mean))} ± ${percent(spread ? Number(spread) : Number.NaN)} (${seeds})`,
          ),
        ],
        problems: ended < wanted ? [`${wanted - ended} of ${wanted} runs have not ended`] : [],
        details: { table: readFileSync(join(table, 'table.md'), 'utf8'), runs: runsIn(folder) },
      };
    },
  },
};

/** Fields of a line of CSV. */
function fieldsOf(line) {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain,
  );
}

/** Results of a sweep's runs, without their settings, which its command says. */
function runsIn(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('result.json'))
    .sort()
    .map((file) => {
      const { name, seed, device, seconds, scores } = JSON.parse(readFileSync(join(folder, file), 'utf8'));
      return { name, seed, device, seconds, scores };
    });
}

/**
 * Limits of parts that are to run within so many seconds. All that fit get their least, in their order; what is left goes
 * to the first ones.
 * @returns {Map<string, number>} seconds by name, for each that fits
 */
function shares(names, seconds) {
  let spare = seconds;
  const fitting = names.filter((name) => {
    const fits = parts[name].least <= spare;
    if (fits) spare -= parts[name].least;
    return fits;
  });
  return new Map(
    fitting.map((name) => {
      const { least, most } = parts[name];
      const more = Math.min(most - least, spare);
      spare -= more;
      return [name, Math.floor(least + more)];
    }),
  );
}

const shellQuoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const shown = (command) => command.map(shellQuoted).join(' ');

/** What the driver says of the first GPU; undefined where there is none. */
function describeGpu() {
  const asked = ['name', 'driver_version', 'memory.total'];
  const { status, stdout } = spawnSync(
    'nvidia-smi',
    [`--query-gpu=${asked.join()}`, '--format=csv,noheader'],
    { encoding: 'utf8' },
  );
  if (status !== 0 || stdout.trim() === '') return undefined;
  const values = stdout.split('\n')[0].split(', ');
  return Object.fromEntries(asked.map((name, i) => [name, values[i]]));
}

/**
 * The process that runs now. It and what it starts are a group, which is ended as a whole.
 * @type {import('node:child_process').ChildProcess | undefined}
 */
let running;

function endGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // The group has ended by itself.
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Runs a command for at most so many seconds. Its output is shown. */
async function run(command, seconds) {
  const [program, ...args] = command;
  const began = performance.now();
  const child = spawn(program === 'node' ? process.execPath : program, args, {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running = child;
  let [stdout, output, error, late] = ['', '', '', false];
  const keep = (text) => {
    output += text;
    process.stderr.write(text);
  };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
    keep(text);
  });
  child.stderr.setEncoding('utf8').on('data', keep);
  const timers = [
    [Math.max(1, seconds - GRACE), 'SIGTERM'],
    [Math.max(2, seconds), 'SIGKILL'],
  ].map(([after, signal]) =>
    setTimeout(() => {
      late = true;
      if (child.pid) endGroup(child.pid, signal);
    }, 1000 * Number(after)),
  );
  // What it started may hold its output open.
  child.on('exit', () => child.pid && endGroup(child.pid, 'SIGKILL'));
  child.on('error', ({ message }) => {
    error = message;
  });
  const code = await new Promise((done) => child.on('close', done));
  running = undefined;
  for (const timer of timers) clearTimeout(timer);
  const lines = output.trim().split('\n');
  // Under an error that nobody caught stands where it was thrown.
  const last = lines.findLast((line) => /^(\w*Error|pgpc|set-up): /.test(line)) ?? lines.at(-1);
  if (late) error = `ended by its limit after ${((performance.now() - began) / 1000).toFixed(0)} s`;
  else if (code !== 0) error ||= `exit code ${code}${last ? `: ${last}` : ''}`;
  return { stdout, output, error };
}

/** Runs a part's commands, whatever comes of the ones before. */
async function runPart(name, limit) {
  const { commands, prepare, read } = parts[name];
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  const results = [];
  const problems = [];
  prepare?.(limit);
  const all = commands(limit);
  for (const command of all) {
    console.error(`\n## ${name}, up to ${limit} s: ${shown(command)}\n`);
    const result = await run(command, limit - elapsed());
    results.push(result);
    if (result.error) problems.push(`${shown(command.slice(0, 3))}: ${result.error}`);
  }
  /** @type {Found} */
  let found = { figures: [], problems: [] };
  try {
    found = read(results, limit);
  } catch (error) {
    problems.push(`its results cannot be read: ${error.message}`);
  }
  problems.push(...found.problems);
  return {
    part: name,
    outcome: problems.length > 0 ? 'failed' : 'done',
    seconds: Math.round(elapsed()),
    limit,
    commands: all.map(shown),
    figures: found.figures,
    problems,
    ...found.details,
    output: results.flatMap(({ output }) => output.split('\n')).slice(-KEPT_LINES),
  };
}

const chosen = flags.only === undefined ? Object.keys(parts) : flags.only.split(',');
for (const name of chosen) {
  if (!(name in parts)) {
    throw new RangeError(`--only takes ${Object.keys(parts).join(', ')} with commas between, not ${name}`);
  }
}
const names = Object.keys(parts).filter((name) => chosen.includes(name));
const whole = 60 * minutes - END;
const tooLate = (name) => `less than the ${parts[name].least} s that it needs are left`;

function showPlan() {
  const limits = shares(names, whole);
  for (const [name, limit] of limits) {
    console.log(`${[`# ${name}, up to ${limit} s`, ...parts[name].commands(limit).map(shown)].join('\n')}\n`);
  }
  for (const name of names.filter((one) => !limits.has(one))) {
    console.log(`# ${name}, skipped: ${tooLate(name)}\n`);
  }
  const sum = [...limits.values()].reduce((total, limit) => total + limit, 0);
  console.log(
    `# ${sum} s in all, within ${minutes} minutes. The time that a part leaves goes to the next ones, in which budgets and steps grow.`,
  );
}

const gpu = flags.dry ? undefined : describeGpu();
if (flags.dry) showPlan();
else if (!gpu) {
  console.error(
    'gpu-check: nvidia-smi finds no NVIDIA GPU here; --dry shows what would run where there is one',
  );
  process.exitCode = 1;
} else {
  await runAll();
}

async function runAll() {
  for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
    process.on(signal, () => {
      if (running?.pid) endGroup(running.pid, 'SIGKILL');
      process.exit(code);
    });
  }
  const began = performance.now();
  const left = () => whole - (performance.now() - began) / 1000;
  mkdirSync(out, { recursive: true });
  const results = [];
  let table = '';
  for (const [i, name] of names.entries()) {
    const limit = shares(names.slice(i), left()).get(name);
    const skipped = {
      part: name,
      outcome: 'skipped',
      seconds: 0,
      figures: [],
      problems: [tooLate(name)],
    };
    const result = limit === undefined ? skipped : await runPart(name, limit);
    results.push(result);
    // After every part: the next one may not come to an end.
    writeFileSync(join(out, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
    table = markdown(
      ['part', 'outcome', 'seconds', 'figures'],
      results.map(({ part, outcome, seconds, figures, problems }) => [
        ...[part, outcome, seconds],
        [...figures, ...problems].join('; ').replace(/\s+/g, ' ').replaceAll('|', '\\|'),
      ]),
    );
    writeFileSync(join(out, 'gpu-check.md'), `${table}\n`);
  }
  console.log(table);
  if (results.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1;
}
