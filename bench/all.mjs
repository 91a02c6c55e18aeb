// All comparisons with PyTorch, one after the other: all.json, and all.md with their ratios in one table.
//
//   npm run bench -- [--quick] [--only step,forward] [--threads 2] [--python python3] [--results FOLDER]

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { buildInfo } from '@pgpc/torch';
import {
  describeMachine,
  here,
  machineLine,
  markdown,
  readFlags,
  saveResults,
  softwareLines,
  temporaryFolder,
} from './lib.mjs';

const flags = readFlags({ quick: false, only: '', threads: availableParallelism() });
const { quick, threads } = flags;

const steps = (backbone, methods, rounds) => [
  'step.mjs',
  ...['--backbone', backbone, '--methods', methods, '--threads', threads],
  ...(quick ? ['--size', 64, '--channels', 32, '--rounds', 2] : ['--rounds', rounds]),
];
/** By part, the commands that measure it. All processes of a command are alive at once, which MiT-B5 has to be fit for. */
const parts = {
  step: [steps('mit_b0', 'source-only,daformer,pgpc', 8)],
  'step-b5': [steps('mit_b5', 'source-only', 4), steps('mit_b5', 'daformer,pgpc', 4)],
  forward: [
    [
      'networks.mjs',
      ...['--threads', threads],
      ...(quick
        ? [...['--networks', 'daformer_mitb0'], ...['--height', 64, '--width', 64, '--rounds', 2]]
        : [
            ...['--networks', 'daformer_mitb0,daformer_mitb5,deeplabv2red_r101,hrnet_w48'],
            ...['--height', 256, '--width', 256],
          ]),
    ],
  ],
  loader: [
    [
      'loader.mjs',
      ...['--workers', threads],
      ...(quick ? ['--width', 480, '--height', 270, '--images', 4, '--batches', 4, '--rounds', 2] : []),
    ],
  ],
  evaluate: [
    [
      'evaluate.mjs',
      ...['--threads', threads],
      ...(quick ? ['--height', 128, '--width', 256, '--channels', 32, '--rounds', 2] : []),
    ],
  ],
  call: [['bridge.mjs', ...(quick ? ['--rounds', 10] : [])]],
  ...(buildInfo().cuda && {
    gpu: [
      [
        'gpu.mjs',
        ...(quick
          ? ['--backbone', 'mit_b0', '--size', 128, '--channels', 32, '--rounds', 1, '--compile', 'none']
          : []),
      ],
    ],
  }),
};

/** Rows of the table: what, its unit, pgpc, PyTorch, ratio. Of images a second more is better, of all else less. */
const rowsOf = {
  'step.mjs': ({ settings: { backbone, batch, size }, methods, contrastCost }) => {
    const name = `step, ${backbone}, ${batch} x ${size} x ${size}`;
    const rows = methods.flatMap((row) => [
      [`${name}, ${row.method}`, 'ms', row.pgpcMs, row.pytorchMs, row.ratio],
      [
        `${name}, ${row.method}: peak memory`,
        'MiB',
        row.pgpcPeakMiB,
        row.pytorchPeakMiB,
        row.pgpcPeakMiB / row.pytorchPeakMiB,
      ],
    ]);
    if (contrastCost) rows.push([`${name}: pgpc / daformer`, '', contrastCost.pgpc, contrastCost.pytorch]);
    return rows;
  },
  'networks.mjs': ({ settings: { shape }, networks }) =>
    networks.map((row) => [
      `forward, ${row.name}, ${shape[3]} x ${shape[2]}`,
      'ms',
      row.pgpcMs,
      row.pytorchMs,
      row.ratio,
    ]),
  'loader.mjs': ({ settings: { width, height }, results }) =>
    results.map((row) => [
      `loading, files of ${width} x ${height} ${row.files}`,
      'images/s',
      row.pgpc,
      row.pytorch,
      row.ratio,
    ]),
  'evaluate.mjs': ({ settings: { backbone, width, height }, medians }) =>
    medians.map((row) => {
      const [measure, unit] = row.measure.split(/, (?=[^,]*$)/);
      return [
        `evaluation, ${backbone}, ${width} x ${height}: ${measure}`,
        unit,
        row.pgpc,
        row.pytorch,
        row.ratio,
      ];
    }),
  'gpu.mjs': ({ settings: { backbone, batch, size, precision }, sides }) => {
    const name = `step on the GPU, ${backbone}, ${batch} x ${size} x ${size}, ${precision}`;
    const ours = sides.filter(({ of }) => of === 'pgpc');
    return ours.flatMap((row) =>
      ['eager', 'compile'].flatMap((kind) => {
        const theirs = sides.find((side) => side.name.startsWith(kind) && side.method === row.method);
        const ratio = kind === 'eager' ? row.toEager : row.toCompiled;
        return theirs
          ? [[`${name}, ${row.method}: ${row.name}, ${theirs.name}`, 'ms', row.ms, theirs.ms, ratio]]
          : [];
      }),
    );
  },
  'bridge.mjs': ({ results }) =>
    results.map((row) => [`call, ${row.operator}`, 'ns', row.tidyNs, row.pythonNs, row.tidyRatio]),
};

/** MiT-B5 is not quick at any size. */
const usual = Object.keys(parts).filter((name) => !quick || name !== 'step-b5');
const chosen = flags.only === '' ? usual : flags.only.split(',');
for (const name of chosen) {
  if (!(name in parts)) {
    throw new RangeError(`--only takes ${Object.keys(parts).join(', ')} with commas between, not ${name}`);
  }
}

/** The one file that a benchmark leaves. */
function readResults(folder) {
  const [file] = readdirSync(folder);
  return JSON.parse(readFileSync(join(folder, file), 'utf8'));
}

const digits = (value) => (value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** Writes all that was measured so far. @returns the page of Markdown. */
function write() {
  const rows = measured.flatMap(({ script, results }) => rowsOf[script](results));
  const table = markdown(
    ['', 'unit', 'pgpc', 'PyTorch', 'pgpc / PyTorch'],
    rows.map(([what, unit, ours, theirs, ratio]) => [
      what,
      unit,
      digits(ours),
      digits(theirs),
      ratio?.toFixed(2) ?? '',
    ]),
  );
  // Of the loader, which computes nothing, there is no libtorch to name.
  const software = measured.map(({ results }) => results.software).find(Boolean);
  const notes = [
    machineLine(machine),
    `${threads} threads; Node ${process.version}; ${began}`,
    ...(software?.pgpc && software.pytorch
      ? softwareLines({ pgpc: software.pgpc, pytorch: software.pytorch })
      : []),
  ];
  const page = `${table}\n\n${notes.map((note) => `- ${note}`).join('\n')}\n`;
  saveResults(folder, 'all', {
    began,
    quick,
    threads,
    machine,
    software,
    rows: rows.map(([what, unit, pgpc, pytorch, ratio]) => ({ what, unit, pgpc, pytorch, ratio })),
    measured,
  });
  writeFileSync(join(folder, 'all.md'), page);
  return page;
}

const inQuickFolder = quick && flags.results === join(here, 'results');
const folder = inQuickFolder ? join(here, '../data/bench-quick') : flags.results;
const machine = describeMachine();
const began = new Date().toISOString();
const measured = [];
const root = temporaryFolder();
let page = '';
for (const part of chosen) {
  for (const [script, ...args] of parts[part]) {
    console.log(`\n## ${part}: bench/${[script, ...args].join(' ')}\n`);
    const results = join(root, String(measured.length));
    const shared = ['--results', results, ...(flags.python ? ['--python', flags.python] : [])];
    const run = spawnSync(process.execPath, [join(here, script), ...args.map(String), ...shared], {
      stdio: 'inherit',
    });
    if (run.status !== 0) throw new Error(`${part} failed: see above`);
    measured.push({ part, script, args, results: readResults(results) });
    // After every command: the next one may fail, and this one may have taken an hour.
    page = write();
  }
}
console.log(`\n${page}\nwritten: ${relative('.', join(folder, 'all.json'))} and all.md`);
