// A training that dies at any moment: what is there resumes, and ends as one that did not.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { spread } from '../../src/evaluation/spread.js';
import { findCheckpoint } from '../../src/training/checkpoint-files.js';
import type { TrainingEvent } from '../../src/training/events.js';
import { resolveTraining } from '../../src/training/resolve.js';
import { resumeTraining, runTraining } from '../../src/training/run.js';
import { CrashStates, copyFolder } from '../support/crash-states.js';
import { FullDisk, SmallDisk } from '../support/full-disk.js';
import { runContents } from '../support/run-contents.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-crash-'));
const [out, states] = [join(folder, 'runs'), join(folder, 'states')];
const run = join(out, 'run');
const checkpoints = join(run, 'checkpoints/pgpc-plus');
const options = { out, name: 'run', device: 'cpu', memoryCheck: false } as const;
let whole: Record<string, string>;
let taken: CrashStates['states'];
let writes: number;
const aside = join(folder, 'whole');

async function configuration() {
  return resolveTraining({
    source: join(folder, 'data/gta5'),
    target: join(folder, 'data/cityscapes'),
    method: 'pgpc-plus',
    crop: { width: 32, height: 32 },
    batch: 1,
    iterations: 3,
    checkpointEvery: 1,
    workers: 0,
    device: 'cpu',
    set: { 'segmentor.channels': 16, 'method.contrast.warmup': 0 },
  });
}

/** What a resumed training tells. */
async function resume(): Promise<string[]> {
  const said: string[] = [];
  const onEvent = (event: TrainingEvent) => {
    if (event.kind === 'remark') said.push(event.message);
  };
  expect(await resumeTraining(run, { device: 'cpu', onEvent })).toMatchObject({ outcome: 'finished' });
  return said;
}

/** The run as it was in one of the states. */
function putBack(state: string): void {
  rmSync(run, { recursive: true, force: true });
  copyFolder(state, run);
}

beforeAll(async () => {
  const counts = { sourceTrain: 3, sourceVal: 1, targetTrain: 3, targetVal: 1 };
  await writeStreetSynth(join(folder, 'data'), { seed: 9, ...counts, width: 64 });
  mkdirSync(states);
  const config = await configuration();
  {
    using crash = new CrashStates(run, states);
    using disk = new FullDisk(run, Number.POSITIVE_INFINITY);
    await runTraining(config, options);
    taken = crash.states;
    writes = disk.writes;
  }
  whole = runContents(run);
  renameSync(run, aside);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }), 60_000);

const hasCheckpoint = (state: string) =>
  existsSync(join(state, 'checkpoints/pgpc-plus/training.safetensors'));
const hasPrevious = (state: string) =>
  existsSync(join(state, 'checkpoints/pgpc-plus/training.previous.safetensors'));
const hasState = (folder: string) => hasCheckpoint(folder) || hasPrevious(folder);

test('the states are of a whole training, and of all its kinds of files', () => {
  const operations = taken.map(({ operation }) => operation).join('\n');
  for (const name of [
    'run.json',
    'metrics.jsonl',
    'data.json',
    'selection.json',
    'results.json',
    'owner.json',
  ]) {
    expect(operations).toContain(name);
  }
  for (const name of ['training.safetensors', 'model.safetensors', 'index.json'])
    expect(operations).toContain(name);
  expect(Object.keys(whole)).toContain('checkpoints/best/model.safetensors');
  expect(Object.keys(whole)).not.toContain('owner.json');
});

test('another run of the seed has the same files, to the last bit', async () => {
  rmSync(run, { recursive: true, force: true });
  await runTraining(await configuration(), options);
  expect(runContents(run)).toEqual(whole);
});

/** All of them with PGPC_ALL_STATES=1; else as many, evenly spread: each takes a training. */
function chosen<T>(states: readonly T[], few: number): T[] {
  const count = process.env.PGPC_ALL_STATES ? states.length : few;
  return spread(states.length, count).map((i) => states[i]!);
}

test('from a state before the first checkpoint it starts anew under its name', async () => {
  const early = taken.filter(({ path }) => existsSync(path) && !hasCheckpoint(path) && !hasPrevious(path));
  expect(early.length).toBeGreaterThan(10);
  const config = await configuration();
  for (const { path, operation } of chosen(early, 1)) {
    putBack(path);
    await runTraining(config, { ...options, overwrite: true });
    expect([operation, runContents(run)]).toEqual([operation, whole]);
  }
}, 3_600_000);

test('from a state since, it resumes to the same files, whatever was under way', async () => {
  const since = taken.filter(({ path }) => hasState(path));
  expect(since.length).toBeGreaterThan(30);
  const withoutNewest = since.find(({ path }) => !hasCheckpoint(path))!;
  expect(withoutNewest.operation).toContain('training.next');
  for (const { path, operation } of [withoutNewest, ...chosen(since, 2)]) {
    putBack(path);
    await resume();
    expect([operation, runContents(run)]).toEqual([operation, whole]);
  }
}, 3_600_000);

test('a disk that is full from some write on ends it with the name of a file, and with room it resumes to the same files', async () => {
  const config = await configuration();
  expect(writes).toBeGreaterThan(50);
  // A state is written in thousands of parts, and each may be the first without room.
  const some = spread(writes, Math.min(writes, 200));
  for (const from of process.env.PGPC_ALL_STATES ? some : [Math.round(0.75 * writes)]) {
    rmSync(run, { recursive: true, force: true });
    {
      using _ = new FullDisk(run, from);
      const error: Error = await runTraining(config, options).then(
        () => new Error('it ended well'),
        (reason) => reason,
      );
      // The owner's file comes before the run.
      const advice = hasState(run)
        ? 'resume it with pgpc train --resume'
        : from === 0
          ? ''
          : 'start it anew with --overwrite';
      expect([from, error.message]).toEqual([from, expect.stringMatching(`run.*ENOSPC.*${advice}`)]);
    }
    if (hasState(run)) await resume();
    else await runTraining(config, { ...options, overwrite: true });
    expect([from, runContents(run)]).toEqual([from, whole]);
  }
}, 36_000_000);

test('a disk without room is refused before the first step, with what is needed and what is free', async () => {
  rmSync(run, { recursive: true, force: true });
  using _ = new SmallDisk(10_000_000);
  const refused = await runTraining(await configuration(), options).catch((error) => error.message);
  const sizes =
    /the run needs (\d+) MB more on this disk \(three checkpoints of (\d+) MB, two models of (\d+) MB, (\d+) MB of pictures and metrics\), and 10 MB are free: /;
  const [needed, state, model, shown] = sizes.exec(refused)!.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const megabytes = (file: string) => statSync(join(aside, 'checkpoints', file)).size / 1e6;
  // But for headers.
  expect(Math.abs(state - megabytes('pgpc-plus/training.safetensors'))).toBeLessThan(1.2);
  expect(Math.abs(model - megabytes('pgpc-plus/model.safetensors'))).toBeLessThan(1.2);
  expect(Math.abs(needed - (3 * state + 2 * model + shown))).toBeLessThan(6);
  expect(existsSync(join(run, 'metrics.jsonl'))).toBe(false);
});

/** A state in which the second checkpoint of three is the newest. */
function betweenCheckpoints(): string {
  return taken.findLast(({ operation }) => operation.endsWith('training.previous.safetensors'))!.path;
}

/** With another file: a state may have the same one. */
function replace(file: string, change: (bytes: Buffer) => Buffer): void {
  const bytes = change(readFileSync(file));
  rmSync(file);
  writeFileSync(file, bytes);
}

const flipped = (at: (length: number) => number) => (bytes: Buffer) => {
  bytes[at(bytes.length)]! ^= 4;
  return bytes;
};

test.each([
  ['a flipped bit', flipped((length) => length >> 1)],
  ['a flipped bit of the header', flipped(() => 200)],
  ['a flipped bit of the first bytes', flipped(() => 3)],
  [
    'a block of other bytes',
    (bytes: Buffer) => bytes.fill(255, bytes.length >> 1, (bytes.length >> 1) + 4096),
  ],
  ['a missing end', (bytes: Buffer) => bytes.subarray(0, -1)],
])('%s in the newest checkpoint: the one before it is found, and it is said', (_, damage) => {
  putBack(betweenCheckpoints());
  const newest = join(checkpoints, 'training.safetensors');
  expect(findCheckpoint(checkpoints)).toEqual({ file: newest, instead: undefined });
  replace(newest, damage);
  expect(findCheckpoint(checkpoints)).toEqual({
    file: join(checkpoints, 'training.previous.safetensors'),
    instead: `${newest} is damaged: its bytes are not what was written; the checkpoint before it is taken`,
  });
});

test('from the checkpoint before a damaged one it resumes to the same files, and keeps the damaged one', async () => {
  putBack(betweenCheckpoints());
  const newest = join(checkpoints, 'training.safetensors');
  replace(
    newest,
    flipped((length) => length >> 1),
  );
  expect((await resume()).join('\n')).toContain(`${newest} is damaged`);
  const { 'checkpoints/pgpc-plus/training.damaged.safetensors': kept, ...rest } = runContents(run);
  expect(kept).toBeDefined();
  expect(rest).toEqual(whole);
}, 120_000);

test('with both checkpoints damaged it says so, and changes nothing', async () => {
  putBack(betweenCheckpoints());
  for (const name of ['training.safetensors', 'training.previous.safetensors']) {
    replace(join(checkpoints, name), (bytes) => bytes.subarray(0, 5000));
  }
  const { 'owner.json': _, ...before } = runContents(run);
  await expect(resumeTraining(run, { device: 'cpu' })).rejects.toThrow(
    /is damaged.*, and so is the one before it; there is no other checkpoint to resume from, so start the run anew/,
  );
  expect(runContents(run)).toEqual(before);
});

test('what is only there to be shown does not keep it from resuming, and is said', async () => {
  putBack(betweenCheckpoints());
  const file = (name: string) => join(run, name);
  replace(file('metrics.jsonl'), (bytes) => Buffer.from(bytes.toString().replace('{', '\0\0\0')));
  writeFileSync(file('results.json'), '');
  replace(file('pictures/index.json'), (bytes) => bytes.subarray(0, 20));
  replace(file('checkpoints/best/selection.json'), () => Buffer.alloc(0));
  const said = (await resume()).join('\n');
  expect(said).toMatch(/metrics.jsonl: 1 of \d+ lines were damaged, and are left out/);
  for (const name of ['results.json', 'pictures/index.json'])
    expect(said).toContain(`kept as ${file(name)}.damaged`);
  // All but the pictures of earlier checkpoints, the metrics, and the states, which know how long those are.
  const after = runContents(run);
  for (const [name, content] of Object.entries(whole)) {
    if (!/pictures|metrics|training/.test(name)) expect([name, after[name]]).toEqual([name, content]);
  }
}, 120_000);
