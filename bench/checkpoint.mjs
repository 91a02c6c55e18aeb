// What a checkpoint costs: as it is written now, with a checksum, to the disk, beside the one before it; as it was written
// before that; and its bytes alone, neither hashed nor flushed.
//
//   node bench/checkpoint.mjs --backbones mit_b0,mit_b2 --rounds 5

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { ops, setNumThreads, tidy } from '@pgpc/torch';
import { segmentorConfig } from '../packages/pgpc/dist/config/segmentor.js';
import { MODEL_FILE } from '../packages/pgpc/dist/models/checkpoint.js';
import { streetSynthPreset } from '../packages/pgpc/dist/recipes/street-synth.js';
import { CHECKPOINT_FILE } from '../packages/pgpc/dist/training/checkpoint-names.js';
import { Trainer } from '../packages/pgpc/dist/training/trainer.js';
import {
  describeMachine,
  finish,
  markdown,
  median,
  ratioOf,
  readFlags,
  stopwatch,
  takeTurns,
  temporaryFolder,
} from './lib.mjs';
import { openStreets, renderFew } from './streets.mjs';

/** Of the writer of safetensors before. */
const CHUNK_BYTES = 2 ** 26;
/** Steps between two checkpoints of a training that nobody has set another number for. */
const STEPS_BETWEEN = 500;

const flags = readFlags({
  backbones: 'mit_b0,mit_b2',
  channels: 256,
  rounds: 5,
  threads: 1,
  data: 'data/bench-long',
});
const { channels, rounds, threads } = flags;
setNumThreads(threads);
await renderFew(flags.data);

function flush(path) {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

/** A file's header, as it is on the disk. */
function headerOf(file) {
  const fd = openSync(file, 'r');
  const length = Buffer.alloc(8);
  readSync(fd, length, 0, 8, 0);
  const header = Buffer.alloc(8 + Number(length.readBigUInt64LE()));
  readSync(fd, header, 0, header.length, 0);
  closeSync(fd);
  return header;
}

/** Gives a file its name once all its parts are written. */
function write(file, parts, flushed) {
  const temporary = `${file}.tmp`;
  const fd = openSync(temporary, 'w');
  for (const part of parts) writeSync(fd, part);
  if (flushed) fsyncSync(fd);
  closeSync(fd);
  renameSync(temporary, file);
}

/** A header and copies of tensors, each made when it is wanted: as the writer of safetensors gave them before. */
function* copies(header, tensors) {
  yield header;
  for (const tensor of tensors) {
    const bytes = tidy(() => tensor.detach().contiguous().reshape([-1]).view('uint8'));
    for (let start = 0; start < bytes.numel; start += CHUNK_BYTES) {
      yield tidy(() => bytes.narrow(0, start, Math.min(CHUNK_BYTES, bytes.numel - start)).toArray());
    }
    bytes.dispose();
  }
}

/** Tensors of the two files of a checkpoint. */
function tensorsOf({ step, optimizer, learner }) {
  const parts = [...step.parts.state().values()].flatMap((part) => [...part.stateDict().values()]);
  return {
    [CHECKPOINT_FILE]: [...parts, ...optimizer.stateDict().tensors.values()],
    [MODEL_FILE]: [...learner.segmentor.stateDict().values()],
  };
}

/** All ways to write the state of a trainer, and a step of it, in turns. */
async function measure(backbone) {
  const { data } = await openStreets(flags.data);
  const preset = streetSynthPreset({ scale: 'demo', seed: 1 }).continuation('pgpc');
  const trainer = new Trainer(
    { ...preset, segmentor: segmentorConfig(backbone, 'daformer', { channels }) },
    data,
  );
  const root = temporaryFolder();
  const folder = (name) => join(root, name);
  for (const name of ['safe', 'before', 'plain']) mkdirSync(folder(name));
  const step = async () => {
    const pause = new AbortController();
    await trainer.run({ signal: pause.signal, onStep: () => pause.abort() });
  };
  await step();
  trainer.save(folder('safe'));
  const files = [CHECKPOINT_FILE, MODEL_FILE];
  const headers = Object.fromEntries(files.map((name) => [name, headerOf(join(folder('safe'), name))]));
  const bytes = files.map((name) => statSync(join(folder('safe'), name)).size);
  // Bytes that are in memory, as they are in the tensors' own: nothing is left but to hand them to the system.
  const inMemory = Object.fromEntries(
    Object.entries(tensorsOf(trainer)).map(([name, tensors]) => [
      name,
      [headers[name], ...tensors.map((tensor) => new Uint8Array(tensor.toSharedArray().buffer))],
    ]),
  );
  const ways = {
    safe: () => trainer.save(folder('safe')),
    before: () =>
      tidy(() => {
        // Whether all weights are finite was looked at then, too.
        ops.stack([...trainer.learner.stateDict().values()].map((value) => value.isfinite().all())).toArray();
        for (const [name, tensors] of Object.entries(tensorsOf(trainer))) {
          write(join(folder('before'), name), copies(headers[name], tensors), true);
        }
      }),
    plain: () => {
      for (const [name, parts] of Object.entries(inMemory)) write(join(folder('plain'), name), parts, false);
    },
  };
  /** @type {Record<string, { ms: number, cpuMs: number }[]>} */
  const times = { step: [], safe: [], before: [], plain: [] };
  await takeTurns(Object.keys(times), { rounds }, async (side, round) => {
    const since = stopwatch();
    await (side === 'step' ? step() : ways[side]());
    const taken = since();
    // What the disk still owes is not for the next one to wait for.
    if (side !== 'step') for (const name of files) flush(join(folder(side), name));
    if (round >= 0) times[side].push(taken);
  });
  await trainer.dispose();
  return { backbone, bytes: { state: bytes[0], model: bytes[1] }, times };
}

const machine = describeMachine();
const results = [];
for (const backbone of flags.backbones.split(',')) {
  const { bytes, times } = await measure(backbone);
  const of = (side, unit) => times[side].map((taken) => taken[unit]);
  const ratios = Object.fromEntries(
    ['before', 'plain'].map((side) => [side, ratioOf(of('safe', 'ms'), of(side, 'ms'))]),
  );
  console.log(
    `${backbone}: a state of ${(bytes.state / 1e6).toFixed(0)} MB, a model of ${(bytes.model / 1e6).toFixed(0)} MB\n`,
  );
  console.log(
    markdown(
      ['', 'ms, median', 'least', 'of the processor', 'safe / it'],
      Object.keys(times).map((side) => [
        side,
        median(of(side, 'ms')).toFixed(0),
        Math.min(...of(side, 'ms')).toFixed(0),
        median(of(side, 'cpuMs')).toFixed(0),
        ratios[side]?.toFixed(2) ?? '',
      ]),
    ),
  );
  const share = median(of('safe', 'ms')) / (STEPS_BETWEEN * median(of('step', 'ms')));
  console.log(
    `\nof a training's time, with a checkpoint every ${STEPS_BETWEEN} steps: ${(100 * share).toFixed(2)} %\n`,
  );
  results.push({ backbone, bytes, times, ratios, share });
}
finish(flags.results, 'checkpoint', machine, {
  settings: { channels, rounds, threads, stepsBetween: STEPS_BETWEEN },
  node: process.version,
  results,
});
