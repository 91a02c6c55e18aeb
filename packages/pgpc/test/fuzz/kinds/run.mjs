// Run directories: what they say of themselves, their metrics, results, pictures, data and checkpoints.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readResult } from '../../../dist/ablation/results.js';
import { RunLibrary } from '../../../dist/dashboard/run-library.js';
import { PredictionJournal } from '../../../dist/evaluation/predict-journal.js';
import { locateModel } from '../../../dist/models/locate.js';
import { streetSynthPreset } from '../../../dist/recipes/street-synth.js';
import { compareRuns, comparisonPage } from '../../../dist/report/compare.js';
import { writeReport } from '../../../dist/report/report.js';
import { readRecord } from '../../../dist/training/data-record.js';
import { csvOf } from '../../../dist/training/logs/export.js';
import { planResume } from '../../../dist/training/resume.js';
import { openRun } from '../../../dist/training/run-directory/open-run.js';
import { repair } from '../../../dist/training/run-directory/repair.js';
import { Fault, judged } from '../judge.mjs';
import { changeValue, jsonOf } from '../plain-values.mjs';
import { changeBytes } from '../random.mjs';
import { withSum } from './safetensors.mjs';

const classes = [
  { name: 'road', color: [128, 64, 128] },
  { name: 'car', color: [0, 0, 142] },
];
const experiment = streetSynthPreset({ seed: 0 }).continuation('pgpc-plus');
const CONFIG = {
  data: { source: { format: 'folder', root: '/nowhere' }, target: { format: 'photos', root: '/nowhere' } },
  reading: { skipBad: false },
  phase: 'pgpc-plus',
  experiment,
  select: 'information',
};
const time = '2026-01-02T03:04:05.678Z';
const BASE = {
  'run.json': {
    ...{
      name: 'a',
      title: 'A run',
      command: 'pgpc train',
      config: CONFIG,
      seed: 1,
      versions: { pgpc: '1', libtorch: '2', threads: '2' },
    },
    ...{
      machine: 'linux x64, cpu, 2 threads, 8 GiB',
      device: 'cpu',
      classes,
      status: 'finished',
      started: time,
      resumed: [time],
      finished: time,
    },
    changes: [{ time, what: 'more steps' }],
  },
  'results.json': [
    {
      name: 'pgpc-plus',
      label: 'PGPC+',
      seed: 1,
      miou: 0.5,
      iou: [0.5, null],
      accuracy: 0.7,
      classAccuracy: [0.5, 0.5],
      seconds: 3,
    },
    { name: 'source-only', label: 'Source only', miou: 0.4, iou: [0.4, 0.4], accuracy: 0.6, seconds: 2 },
  ],
  'pictures/index.json': {
    source: [{ image: 's0.png', label: 's0-label.png' }],
    target: [
      {
        id: 'a',
        image: 't0.png',
        truth: 't0-truth.png',
        predictions: { 'pgpc-plus': 't0-p.png' },
        checkpoints: [{ iteration: 5, pictures: { prediction: 't0-5.png' } }],
      },
    ],
    contrast: { checkpoints: [{ iteration: 5, prototypes: 'p.safetensors' }], memory: 'm.safetensors' },
  },
  'data.json': {
    version: 1,
    classes: ['road', 'car'],
    source: { images: [['a', 3]], labels: ['01234567'] },
    target: { images: [['b', 4]] },
    validation: null,
  },
  'result.json': {
    key: 'abc',
    name: 'pgpc',
    seed: 1,
    experiment: { a: 1 },
    onTarget: false,
    seconds: 3,
    scores: {
      miou: 0.5,
      iou: [0.5, null],
      accuracy: 0.6,
      classAccuracy: [1, 1],
      meanAccuracy: 1,
      frequencyWeightedIou: 0.3,
    },
  },
};
const METRICS = [1, 2, 3, 2].map((iteration) => ({
  phase: 'pgpc-plus',
  seed: 1,
  iteration,
  wall: iteration / 2,
  'loss/total': 1 / iteration,
  lr: 1e-3,
  'val/miou': 0.3,
}));
const STATE = {
  iteration: 3,
  skipped: 0,
  optimizer: { groups: [{ name: 'a', size: 1, lr: 0.1, weightDecay: 0 }], steps: [3] },
  augment: [1, 2, 3, 4],
  loader: [1, 2, 3, 4],
};
const BESIDE = { selection: { best: { iteration: 3, value: 0.5 }, peaks: [0.1, 0.2] }, metricsLines: 3 };
const LINE = {
  id: 'a',
  file: '/a.png',
  width: 3,
  height: 4,
  confidence: 0.5,
  shares: { road: 0.5 },
  pictures: { overlay: 'overlay/a.png' },
  source: { bytes: 3, modified: time },
};
const SETTINGS = { model: 'x' };

function checkpointOf(random, isChanged) {
  const change = (value) => (isChanged && random.chance(0.5) ? changeValue(random, value) : value);
  const texts = {
    sha256: '0'.repeat(64),
    format: random.chance(0.95) ? 'pgpc-training/2' : 'pgpc-training/1',
    experiment: jsonOf(change(experiment)),
    state: jsonOf(change(STATE)),
    beside: jsonOf(change(BESIDE)),
  };
  const header = { __metadata__: isChanged && random.chance(0.2) ? changeValue(random, texts) : texts };
  const json = Buffer.from(jsonOf(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const bytes = withSum(Buffer.concat([length, json]));
  return isChanged && random.chance(0.2) ? changeBytes(random, bytes, 2) : bytes;
}

const jsonl = (records) => records.map((record) => `${jsonOf(record)}\n`).join('');

const WHOLE = new Map([
  ...Object.entries(BASE).map(([name, value]) => [name, Buffer.from(jsonOf(value))]),
  ['metrics.jsonl', Buffer.from(jsonl(METRICS))],
  ['predictions.jsonl', Buffer.from(jsonl([LINE, { ...LINE, id: 'b' }]))],
  ['predict.json', Buffer.from(`${JSON.stringify({ writtenBy: 'pgpc predict', ...SETTINGS }, null, 2)}\n`)],
]);
const CHECKPOINTS = ['training.safetensors', 'training.previous.safetensors'].map(
  (name) => `checkpoints/pgpc-plus/${name}`,
);

function changedFile(random, name) {
  if (CHECKPOINTS.includes(name)) return checkpointOf(random, true);
  const whole = WHOLE.get(name);
  if (name.endsWith('.jsonl')) {
    const records = (name === 'metrics.jsonl' ? METRICS : [LINE]).map((one) =>
      random.chance(0.3) ? changeValue(random, one) : one,
    );
    const bytes = Buffer.from(jsonl(records));
    return random.chance(0.3) ? changeBytes(random, bytes, 3) : bytes;
  }
  if (name === 'predict.json' || random.chance(0.2)) return changeBytes(random, whole, 4);
  return Buffer.from(jsonOf(changeValue(random, BASE[name])));
}

function make(random) {
  const files = new Map([...WHOLE, ...CHECKPOINTS.map((name) => [name, checkpointOf(random, false)])]);
  for (let n = random.between(1, 2); n > 0; n--) {
    const name = random.pick(random.chance(0.3) ? ['run.json'] : [...files.keys()]);
    files.set(name, changedFile(random, name));
  }
  return files;
}

async function read(folder, random) {
  const readers = random.below(3);
  if (readers === 0) return readByPrograms(folder);
  const run = await judged('openRun', folder, () => openRun(folder));
  if (readers === 1) await readAsShown(folder, run, random);
  else {
    const lines = random.pick([undefined, 0, 2, 3, 9]);
    await must('repair', () => repair(folder, classes, lines));
    // A run that is repaired is read, if it says what it is.
    if (run) await must('openRun after repair', () => openRun(folder));
  }
  return run !== undefined;
}

async function readByPrograms(folder) {
  await judged('readRecord', folder, () => readRecord(folder));
  await judged('locateModel', folder, () => locateModel(folder));
  await must('readResult', () => readResult(folder));
  await judged('PredictionJournal.open', folder, () => PredictionJournal.open(folder, SETTINGS));
  const plan = await judged('planResume', '', () =>
    planResume(folder, { sourceRoot: folder, targetRoot: folder }),
  );
  return plan !== undefined;
}

async function readAsShown(folder, run, random) {
  const library = new RunLibrary([folder]);
  const {
    runs: [entry],
  } = await must('RunLibrary.list', () => library.list());
  await must('JSON of the list', () => JSON.stringify(entry));
  if (run === undefined) return;
  // What one reader takes the others take, too.
  if (entry.error !== undefined)
    throw new Fault('RunLibrary: refuses a run that openRun reads', new Error(entry.error));
  const { id } = entry;
  await must('RunLibrary.metrics', () => JSON.stringify(library.metrics(id)));
  await must('RunLibrary.diff', () => library.diff([id, id]));
  await must('csvOf', () => csvOf(run.metrics));
  if (random.chance(0.1)) await must('writeReport', () => writeReport(folder));
  if (random.chance(0.1)) await must('comparisonPage', () => comparisonPage(compareRuns([run, run])));
}

/** What cannot be refused. */
async function must(reader, read) {
  try {
    return await read();
  } catch (error) {
    throw new Fault(
      `${reader}: ${error.constructor.name}: ${error.message.slice(0, 80).replace(/\d+/g, '0')}`,
      error,
    );
  }
}

function clean(folder) {
  for (const name of ['results.json.damaged', 'pictures/index.json.damaged', 'report.html']) {
    if (existsSync(join(folder, name))) rmSync(join(folder, name));
  }
}

export const run = { make, read, clean };
