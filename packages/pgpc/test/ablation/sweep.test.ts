// `pgpc ablate` around the training: what runs, what is kept, what is said, how it stops; and its command line.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { grey, rgb } from '../../../datasets/test/support/files.js';
import { openOwnData } from '../../src/ablation/own-data.js';
import type { PlannedRun } from '../../src/ablation/plan.js';
import { readResult } from '../../src/ablation/results.js';
import { runSweep, type SweepEvent, type SweepOptions, type TrainedRun } from '../../src/ablation/run.js';
import { sweeps } from '../../src/ablation/sweeps.js';
import { TimeBudget } from '../../src/ablation/time-budget.js';
import { main } from '../../src/cli/main.js';
import { showSweep } from '../../src/cli/output/sweep.js';
import type { DataConfig } from '../../src/config/data.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { streetSynthPreset } from '../../src/recipes/street-synth.js';
import { inLanes, trainInProcess } from '../../src/training/parallel-runs.js';
import type { RunEvent } from '../../src/training/run-program.js';
import { Sink } from '../support/command.js';
import { SmallDisk } from '../support/full-disk.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-sweep-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const options = (more: Partial<SweepOptions> = {}): SweepOptions => ({
  sweep: sweeps['contrast-type'],
  out: join(folder, 'runs'),
  data: join(folder, 'data'),
  seeds: 2,
  seed: 1,
  scale: 'quick',
  sourceSteps: undefined,
  steps: undefined,
  cells: undefined,
  jobs: 2,
  minutes: undefined,
  device: 'cpu',
  precision: undefined,
  command: 'pgpc ablate contrast-type',
  start: undefined,
  checkpoints: true,
  set: {},
  ...more,
});

const quiet = { signal: new AbortController().signal, onEvent: () => {} };

/** Three classes in stripes: images in `train`, and labels in the splits that are named. */
async function writeOwn(root: string, labelled: readonly string[]): Promise<string> {
  for (const split of ['train', ...labelled]) {
    const parts = labelled.includes(split) ? ['images', 'masks'] : ['images'];
    for (const part of parts) mkdirSync(join(root, part, split), { recursive: true });
    writeFileSync(join(root, 'images', split, '1.png'), rgb(64, 64));
    const stripes = Array.from({ length: 64 * 64 }, (_, i) => Math.floor((i % 64) / 22));
    if (labelled.includes(split)) writeFileSync(join(root, 'masks', split, '1.png'), grey(64, 64, stripes));
  }
  writeFileSync(
    join(root, 'classes.yaml'),
    'classes:\n  - {name: soil, value: 0}\n  - {name: crop, value: 1}\n  - {name: weed, value: 2}\n',
  );
  return root;
}

/** Runs a sweep whose training only takes notes; `act` may fail, or stop everything. */
async function sweepOf(
  given: Partial<SweepOptions> = {},
  act: (run: PlannedRun, stop: () => void) => void = () => {},
) {
  const stdout = new Sink();
  const stderr = new Sink();
  const controller = new AbortController();
  const command = 'pgpc ablate contrast-type';
  const io = { stdout, stderr, signal: controller.signal, command, stage: () => {} };
  const trained: string[] = [];
  const train = async (
    run: PlannedRun,
    onStep: (done: number) => void,
    signal: AbortSignal,
  ): Promise<TrainedRun> => {
    trained.push(`seed${run.seed}/${run.name}`);
    act(run, () => controller.abort());
    // A millisecond a step, where time matters.
    for (let done = 1; given.minutes !== undefined && done <= run.experiment.iterations; done++) {
      if (signal.aborted) break;
      await setTimeout(1);
      onStep(done);
    }
    await setTimeout(1);
    if (signal.aborted) return { outcome: 'stopped', seconds: 1, scores: undefined, log: [] };
    mkdirSync(run.folder, { recursive: true });
    writeFileSync(join(run.folder, 'model.safetensors'), run.key);
    // One class that does not occur, as small target sets have.
    const iou = Array.from({ length: 19 }, (_, c) => (c === 18 ? Number.NaN : (run.seed + c) / 100));
    const scores = {
      miou: run.seed / 10,
      iou,
      accuracy: 0.5,
      classAccuracy: iou,
      meanAccuracy: 0.4,
      frequencyWeightedIou: 0.3,
    };
    const log = [{ iteration: 10, values: { 'loss/total': 2 } }];
    return { outcome: 'finished', seconds: 2, scores: run.cell && scores, log };
  };
  let error: unknown;
  let steps = -1;
  const facts: Record<string, unknown> = {};
  const tellFacts = (told: object) => Object.assign(facts, told);
  await showSweep(given.minutes, io, tellFacts, (tell) => {
    const onEvent = (event: SweepEvent) => {
      if (event.kind === 'runs') steps = event.steps;
      tell(event);
    };
    const { signal } = controller;
    return runSweep(
      options(given),
      { signal, onEvent },
      (_, limited) => (run, onStep) => train(run, onStep, limited.signal),
    );
  }).catch((thrown: unknown) => {
    error = thrown;
  });
  return { trained, out: stdout.text, err: stderr.text, error, steps, facts };
}

const cells = ['pgpc', 'contrast-type-pixel-to-pixel', 'contrast-type-pixel-to-prototype'];
const all = [1, 2].flatMap((seed) => ['source', ...cells].map((name) => `seed${seed}/${name}`));

/** The process of this one that runs a program. */
function childOf(program: string): number {
  const pids = readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean),
  );
  return Number(pids.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program)));
}

describe('a sweep', () => {
  test('trains every source once and every cell after its source, and writes table, page and pictures', async () => {
    const { trained, out, error, steps, facts } = await sweepOf();
    expect(error).toBeUndefined();
    expect([...trained].sort()).toEqual([...all].sort());
    for (const name of all) {
      const source = `${name.split('/')[0]}/source`;
      expect(trained.indexOf(source)).toBeLessThanOrEqual(trained.indexOf(name));
    }
    expect(steps).toBe(2 * 30 + 6 * 12);
    expect(out).toContain('Contrast type: 6 runs, 0 of them finished before');
    expect(out).toMatch(/^pixel to pixel +2 +15\.0 ± 7\.1 +0\.0 \(0\.0 to 0\.0\)/m);
    // The same for a program, in fractions; --json writes it so.
    const { rows, ...about } = JSON.parse(JSON.stringify(facts));
    const table = join(folder, 'runs/contrast-type');
    expect(about).toMatchObject({
      ...{ sweep: 'contrast-type', folder: table, table: join(table, 'table.md'), reference: 'hybrid' },
      ...{ runs: 8, left: 0, failures: [] },
    });
    expect(rows.map(({ cell }: { cell: string }) => cell)).toEqual(
      sweeps['contrast-type'].cells.map(({ name }) => name),
    );
    expect(rows[1]).toMatchObject({ label: 'pixel to pixel', miou: { mean: (0.1 + 0.2) / 2 } });
    expect(rows[1].difference).toEqual({ mean: 0, spread: 0, seeds: 2, half: 0 });
    expect(rows[1].seeds[1]).toMatchObject({ seed: 2, miou: 0.2, accuracy: 0.5 });
    expect(rows[1].seeds[1].iou[18]).toBeNull();
    expect(rows[0]).not.toHaveProperty('difference');
    const written = readdirSync(table).sort();
    expect(written).toEqual(['classes.svg', 'index.html', 'miou.svg', 'table.csv', 'table.md']);
    const [run] = readdirSync(join(folder, 'runs/seed1')).filter((name) => name.startsWith('pgpc-'));
    const result = readResult(join(folder, 'runs/seed1', run!))!;
    expect(result).toMatchObject({ name: 'pgpc', seed: 1, device: 'cpu', seconds: 2, scores: { miou: 0.1 } });
    expect(result.scores!.iou[18]).toBeNaN();
    expect(readFileSync(join(folder, 'runs/seed1', run!, 'metrics.jsonl'), 'utf8')).toBe(
      '{"iteration":10,"loss/total":2}\n',
    );
  });

  test('that has finished trains nothing, and another one only what it does not share', async () => {
    expect((await sweepOf()).trained).toEqual([]);
    const { trained, out } = await sweepOf({ sweep: sweeps.negatives, seeds: 1 });
    expect(trained).toEqual(['seed1/negatives-source', 'seed1/negatives-target']);
    expect(out).toContain('3 runs, 1 of them finished before');
  });

  test('is refused before its first run where the disk has too little room for all of them', async () => {
    const out = join(folder, 'small-disk');
    {
      using _ = new SmallDisk(10_000_000);
      const { trained, error } = await sweepOf({ out });
      expect(trained).toEqual([]);
      // Two sources and six cells; the networks of all are kept.
      expect(String(error)).toMatch(
        /small-disk: the trainings need \d+ MB more on this disk \(\d+ MB that stay of the checkpoints and models of 8 trainings, \d+ MB besides while they are under way, up to 2 at once, 1 MB of pictures and metrics\), and 10 MB are free/,
      );
    }
    expect((await sweepOf({ out, seeds: 1 })).trained).toHaveLength(4);
    // What has finished takes nothing more.
    using _ = new SmallDisk(10_000_000);
    expect((await sweepOf({ out, seeds: 1 })).error).toBeUndefined();
  });

  test('on data of your own has the cells that it can have, and runs of that data alone', async () => {
    const source = await writeOwn(join(folder, 'own/sim'), ['train']);
    const target = await writeOwn(join(folder, 'own/cam'), ['val']);
    const domains = { source, target, skipBad: false };
    // With three classes PGPC's own rank is 2.
    const place = join(folder, 'own/runs');
    const given = { sweep: sweeps.rank, out: place, seeds: 1, domains, cells: ['r2'] } as const;
    const { trained, out, err, error } = await sweepOf(given);
    expect(error).toBeUndefined();
    expect(trained).toEqual(['seed1/source', 'seed1/pgpc']);
    expect(out).toContain('Rank r: 1 run, 0 of them');
    expect(err).toContain('too few labels or classes: r = 3, r = 4');
    expect(readFileSync(join(place, 'rank/table.md'), 'utf8')).toContain(`On ${source} to ${target}`);
    expect((await sweepOf(given)).trained).toEqual([]);
    // Its runs are of the data as it was.
    writeFileSync(join(source, 'images/train/2.png'), rgb(64, 64));
    copyFileSync(join(source, 'masks/train/1.png'), join(source, 'masks/train/2.png'));
    expect((await sweepOf(given)).trained).toEqual(['seed1/source', 'seed1/pgpc']);
    expect((await sweepOf({ ...given, cells: ['r4'] })).error).toMatchObject({
      message: "--cells r4: rank has no such cell (did you mean 'r2'?); its cells: r2",
    });
    const { error: unlabelled } = await sweepOf({
      ...given,
      domains: { ...domains, target: await writeOwn(join(folder, 'own/bare'), []) },
    });
    expect(String(unlabelled)).toMatch(/bare has no labelled validation split \(val\): a sweep compares/);
  });

  test('of your own data is trained in a process of its own, which may be killed: another resumes, to the same end', async () => {
    const source = await writeOwn(join(folder, 'own/small'), ['train', 'val']);
    // Photographs, so that the pictures of the worst are more than a channel between processes holds at once.
    const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
    for (let name = 2; name <= 20; name++) {
      const photo = sharp({ create: { width: 320, height: 240, channels: 3, background: 'grey', noise } });
      await photo.png().toFile(join(source, 'images/val', `${name}.png`));
      writeFileSync(join(source, 'masks/val', `${name}.png`), grey(320, 240, Array(320 * 240).fill(1)));
    }
    const { task, own } = await openOwnData({ source, target: source, skipBad: false }, quiet);
    expect(own).toMatchObject({ classes: 3, oracle: true });
    const { config } = task as { config: DataConfig };
    const { pretraining } = streetSynthPreset({ scale: 'quick', seed: 1, classes: 3 });
    const run = async (name: string, onEvent: (event: RunEvent) => void, signal = quiet.signal) => {
      const told: RunEvent[] = [];
      const end = await trainInProcess(
        {
          name,
          experiment: {
            ...pretraining,
            iterations: 12,
            crop: { ...pretraining.crop, width: 32, height: 32 },
          },
          data: { config, skipBad: false },
          device: 'cpu',
          workers: 0,
          onTarget: true,
          start: {},
          checkpoint: join(folder, 'own', name),
          minutesBetween: name === 'killed' ? 0 : undefined,
          evaluate: true,
        },
        {
          signal,
          onEvent: (event) => {
            told.push(event);
            onEvent(event);
          },
        },
      );
      return { end, told };
    };
    const whole = await run('whole', () => {});
    expect(whole.end).toMatchObject({
      outcome: 'finished',
      evaluated: { scores: { iou: [expect.any(Number), expect.any(Number), expect.any(Number)] } },
    });
    expect(whole.end.evaluated!.worst.map(({ image }) => image).join('').length).toBeGreaterThan(1_000_000);
    const killed = run('killed', (event) => {
      if (event.kind === 'step' && event.done === 5) process.kill(childOf('run-program'), 'SIGKILL');
    });
    await expect(killed).rejects.toThrow('killed: ended with SIGKILL');
    const again = await run('killed', () => {});
    expect(again.told[0]).toMatchObject({
      kind: 'remark',
      message: expect.stringMatching(/^killed: resumes from step ([4-9]|1[01])$/),
    });
    const logs = ({ told }: typeof whole) => told.filter(({ kind }) => kind === 'log');
    expect(logs(whole)).toHaveLength(2);
    expect(logs(again)).toEqual(logs(whole));
    expect(again.end.evaluated!.scores).toEqual(whole.end.evaluated!.scores);
    const networks = ['whole', 'killed'].map((name) =>
      readFileSync(join(folder, 'own', name, 'model.safetensors')),
    );
    expect(networks[0]!.equals(networks[1]!)).toBe(true);
    // A state that would not resume exactly is not resumed from.
    const state = join(folder, 'own/killed/training.safetensors');
    writeFileSync(state, readFileSync(state).subarray(0, 5000));
    rmSync(join(folder, 'own/killed/training.previous.safetensors'));
    const stop = new AbortController();
    const anew = await run('killed', () => stop.abort(), stop.signal);
    expect(anew.told[0]).toMatchObject({
      message: expect.stringMatching(/^killed: begins anew: .*is damaged/),
    });
  }, 240_000);

  test('trains the chosen cells, and refuses one that there is not', async () => {
    const given = { sweep: sweeps.rank, seeds: 1, cells: ['r4', 'r2'] } as const;
    expect((await sweepOf(given)).trained).toEqual(['seed1/rank-r2']);
    expect(readFileSync(join(folder, 'runs/rank/table.md'), 'utf8')).toContain('Not run yet: r = 3; r = 5');
    const { error } = await sweepOf({ ...given, cells: ['r12'] });
    expect(String(error)).toMatch(
      /--cells r12: rank has no such cell \(did you mean 'r2'\?\); its cells: r2, r3/,
    );
  });

  test('runs again, saying so, where a result is not of the run, or not whole', async () => {
    const seed = join(folder, 'runs/seed1');
    const file = (prefix: string) =>
      join(seed, readdirSync(seed).find((name) => name.startsWith(prefix))!, 'result.json');
    const result = JSON.parse(readFileSync(file('pgpc-'), 'utf8'));
    writeFileSync(file('pgpc-'), JSON.stringify({ ...result, key: 'another' }));
    writeFileSync(file('contrast-type-pixel-to-pixel-'), '{"key":');
    const { trained, err } = await sweepOf();
    expect(trained).toEqual(['seed1/pgpc', 'seed1/contrast-type-pixel-to-pixel']);
    expect(err).toMatch(/seed1\/pgpc: what is in .* is not whole, or not of this run; it runs again/);
    expect((await sweepOf()).trained).toEqual([]);
  });

  test('says that a run is there with other settings, and keeps it', async () => {
    const { trained, err } = await sweepOf({ seeds: 1, set: { 'method.contrast.temperature': 0.4 } });
    expect(trained).toEqual(cells.map((name) => `seed1/${name}`));
    expect(err).toMatch(/seed1\/pgpc: .* is of other settings, steps or another start; it runs anew/);
    expect((await sweepOf()).trained).toEqual([]);
  });

  test('trains a source again whose network is gone, if a cell needs it', async () => {
    const seed = join(folder, 'runs/seed1');
    const source = readdirSync(seed).find((name) => name.startsWith('source-'))!;
    rmSync(join(seed, source, 'model.safetensors'));
    expect((await sweepOf()).trained).toEqual([]);
    const { trained } = await sweepOf({ sweep: sweeps['anchor-view'], seeds: 1 });
    expect(trained).toEqual(['seed1/source', 'seed1/anchor-view-target']);
  });

  test('stops with what has ended, says how to resume, and resumes with the rest', async () => {
    const out = join(folder, 'stopped');
    const first = await sweepOf({ out, jobs: 1 }, ({ name }, stop) => {
      if (name.endsWith('pixel-to-pixel')) stop();
    });
    expect((first.error as Error).name).toBe('AbortError');
    expect(first.trained).toEqual(['seed1/source', 'seed1/pgpc', 'seed1/contrast-type-pixel-to-pixel']);
    expect(first.out).toContain('resume with: pgpc ablate contrast-type\n');
    const results = readdirSync(out, { recursive: true }).filter((name) =>
      String(name).endsWith('result.json'),
    );
    expect(results).toHaveLength(2);
    expect(readFileSync(join(out, 'contrast-type/table.md'), 'utf8')).toContain(
      '| hybrid (prototype, pixels) | 1 |',
    );
    const second = await sweepOf({ out });
    expect(second.error).toBeUndefined();
    expect([...first.trained.slice(0, 2), ...second.trained].sort()).toEqual([...all].sort());
  });

  test('ends at its time limit with what has ended, starts nothing that would not end, and resumes later', async () => {
    const out = join(folder, 'limited');
    const given = { out, jobs: 1, sweep: sweeps.negatives, seeds: 1 } as const;
    // The source takes 30 ms or more, and the cells 12.
    const first = await sweepOf({ ...given, sourceSteps: 30, steps: 20_000, minutes: 0.2 });
    expect(first.error).toBeUndefined();
    expect(first.trained).toEqual(['seed1/source']);
    expect(first.err).toContain('seed1/pgpc: not started, it would not end within --minutes 0.2\n');
    expect(first.out).toContain('3 runs left after --minutes 0.2; resume with: pgpc ablate contrast-type\n');

    // Nothing is known of the first run: it is stopped at the limit.
    const stopped = await sweepOf({ ...given, sourceSteps: 100_000, minutes: 0.06 });
    expect(stopped.error).toBeUndefined();
    expect(stopped.trained).toEqual(['seed1/source']);
    expect(stopped.out).toContain('4 runs left after --minutes 0.06');

    // All of a seed starts before anything of the next, whatever else could run.
    const seeds = await sweepOf({
      ...given,
      out: join(folder, 'turns'),
      jobs: 3,
      seeds: 2,
      sourceSteps: 30,
      minutes: 5,
    });
    expect(seeds.trained.map((name) => name.split('/')[0])).toEqual([
      ...Array(4).fill('seed1'),
      ...Array(4).fill('seed2'),
    ]);

    const rest = await sweepOf({ ...given, sourceSteps: 30, steps: 10, minutes: 5 });
    expect(rest.trained).toEqual(['seed1/pgpc', 'seed1/negatives-source', 'seed1/negatives-target']);
    expect(rest.out).not.toContain('left after');
  });

  test('passes over a run that fails, and fails at its end', async () => {
    const out = join(folder, 'failed');
    const { trained, error, err } = await sweepOf({ out, jobs: 1 }, ({ name, seed }) => {
      if (name === 'pgpc' && seed === 1) throw new Error('out of memory');
      if (name === 'source' && seed === 2) throw new Error('no source');
    });
    // Nothing can start from a source that is not there.
    expect(trained).toEqual(all.filter((name) => name === 'seed2/source' || name.startsWith('seed1')));
    expect(String(error)).toBe('Error: 2 of 8 runs failed, the first: out of memory');
    expect(err).toContain('out of memory\n');
  });

  test('starts from given networks', async () => {
    const start = join(folder, 'start');
    mkdirSync(join(start, 'seed1'), { recursive: true });
    using network = new Segmentor(streetSynthPreset({ scale: 'quick', seed: 1 }).pretraining.segmentor, 1);
    saveSegmentor(join(start, 'seed1/model.safetensors'), network);
    const from: (string | undefined)[] = [];
    const { trained } = await sweepOf({ out: join(folder, 'given'), start, seeds: 1 }, (run) => {
      from.push(run.start);
    });
    expect(trained).toEqual(cells.map((name) => `seed1/${name}`));
    expect(new Set(from)).toEqual(new Set([join(start, 'seed1')]));
  });

  test('refuses what is not valid before anything is rendered', async () => {
    const data = join(folder, 'nothing');
    const { error, trained } = await sweepOf({ data, set: { 'method.contrast.bankCapacity': 8 } });
    expect(String(error)).toMatch(/bankCapacity must be at least enqueue/);
    expect([trained, existsSync(data)]).toEqual([[], false]);
  });
});

describe('a time budget', () => {
  const { pretraining, continuation } = streetSynthPreset({ scale: 'demo', seed: 1 });
  const experiment = (method: 'source-only' | 'pgpc', iterations: number) => ({
    ...continuation(method),
    iterations,
  });

  test('judges a run by the passes that a step of it takes, and by what runs need around their steps', () => {
    let now = 0;
    const budget = new TimeBudget(100_000, () => now);
    // Of what has not been seen nothing is known.
    expect(budget.fits(experiment('pgpc', 10 ** 9))).toBe(true);
    const watch = budget.watch({ ...pretraining, iterations: 1001 });
    now = 2000;
    for (let done = 1; done <= 1001; done++) {
      watch.step(done);
      if (done < 1001) now += 30;
    }
    // 10 ms a forward pass, and a step of PGPC takes seven; 68 s are left.
    expect(now).toBe(32_000);
    expect(budget.fits(experiment('source-only', 2266))).toBe(true);
    expect(budget.fits(experiment('source-only', 2267))).toBe(false);
    expect(budget.fits(experiment('pgpc', 971))).toBe(true);
    expect(budget.fits(experiment('pgpc', 972))).toBe(false);
    now += 4000;
    watch.end();
    // Of 64 s six are for starting and for what comes at the end.
    expect(budget.fits(experiment('pgpc', 828))).toBe(true);
    expect(budget.fits(experiment('pgpc', 829))).toBe(false);
    expect(budget.signal.aborted).toBe(false);
  });
});

describe('lanes', () => {
  test('run every job once, after what it waits for, and never more at once than there are', async () => {
    const jobs = fc.array(fc.option(fc.nat(), { nil: undefined }), { maxLength: 12 }).map((afters) =>
      afters.map((after, i) => ({
        name: `job${i}`,
        after: after === undefined || i === 0 ? undefined : `job${after % i}`,
      })),
    );
    await fc.assert(
      fc.asyncProperty(
        jobs,
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.nat(3)),
        async (list, lanes, waits) => {
          const begun: string[] = [];
          const ended = new Set<string>();
          let most = 0;
          await inLanes(list, lanes, new AbortController().signal, async ({ name, after }) => {
            if (after !== undefined) expect(ended).toContain(after);
            begun.push(name);
            most = Math.max(most, begun.length - ended.size);
            for (let i = 0; i < (waits[begun.length] ?? 0); i++) await Promise.resolve();
            ended.add(name);
            return true;
          });
          expect(begun.toSorted()).toEqual(list.map(({ name }) => name).toSorted());
          expect(most).toBeLessThanOrEqual(lanes);
        },
      ),
    );
  });

  test('keep to the turns, past what cannot run', async () => {
    const begun: string[] = [];
    const jobs = [
      { name: 'fails', turn: 1 },
      { name: 'never', after: 'fails', turn: 1 },
      { name: 'slow', turn: 1 },
      { name: 'after', after: 'slow', turn: 1 },
      { name: 'second', turn: 2 },
    ];
    await inLanes(jobs, 3, new AbortController().signal, async ({ name }) => {
      begun.push(name);
      await setTimeout(name === 'slow' ? 20 : 1);
      return name !== 'fails';
    });
    // Two lanes are free while 'slow' runs, and wait for what comes after it.
    expect(begun).toEqual(['fails', 'slow', 'after', 'second']);
  });

  test('start nothing after a failure, and throw it when the rest has ended', async () => {
    const ended: string[] = [];
    const jobs = ['fails', 'slow', 'late'].map((name) => ({ name }));
    const run = inLanes(jobs, 2, new AbortController().signal, async ({ name }) => {
      if (name === 'fails') throw new Error('broken');
      await setTimeout(20);
      ended.push(name);
      return true;
    });
    await expect(run).rejects.toThrow('broken');
    expect(ended).toEqual(['slow']);
  });
});

describe('the command line', () => {
  async function run(args: readonly string[]) {
    const stdout = new Sink();
    const stderr = new Sink();
    const calls: { options: unknown; set?: unknown }[] = [];
    const note = async (given: unknown) => {
      calls.push({ options: given });
    };
    const handlers = { ablate: note, train: note };
    const { signal } = new AbortController();
    const code = await main(args, { stdout, stderr, handlers, signal, env: {} });
    return { code, err: stderr.text, options: calls[0]?.options };
  }

  test('gives every option, checked', async () => {
    expect((await run(['ablate', 'rank'])).options).toEqual({
      name: 'rank',
      out: 'runs/ablations',
      seeds: 3,
      seed: 1,
      scale: 'demo',
      device: 'auto',
      checkpoints: true,
      set: {},
    });
    const given =
      'ablate bank-size --out o --data d --seeds 5 --seed 2 --source-steps 20 --steps 10 --quick --cells k100,k300 ' +
      '--jobs 3 --minutes 7.5 --device cuda:1 --precision float32 --no-checkpoints --set method.contrast.rank=3 --set method.style={"kind":"fda","beta":0.1} --set a.b=c=d';
    expect((await run([...given.split(' '), '--start', folder])).options).toEqual({
      name: 'bank-size',
      out: 'o',
      data: 'd',
      seeds: 5,
      seed: 2,
      sourceSteps: 20,
      steps: 10,
      scale: 'quick',
      minutes: 7.5,
      device: 'cuda:1',
      precision: 'float32',
      cells: ['k100', 'k300'],
      jobs: 3,
      start: folder,
      checkpoints: false,
      set: { 'method.contrast.rank': 3, 'method.style': { kind: 'fda', beta: 0.1 }, 'a.b': 'c=d' },
    });
  });

  test('lets train change any option', async () => {
    const roots = ['--source-root', folder, '--target-root', folder];
    const { options: given } = await run(['train', ...roots, '--set', 'optimizer.weightDecay=0']);
    expect(given).toMatchObject({ set: { 'optimizer.weightDecay': 0 } });
  });

  test.each([
    [['ablate', 'methds'], /name 'methds': must be one of methods, .* \(did you mean 'methods'\?\)$/],
    [['ablate'], /missing required argument 'name'/],
    [['ablate', 'rank', '--minutes', '0'], /--minutes '0': must be a number above 0$/],
    [
      ['ablate', 'rank', '--quick', '--scale', 'large'],
      /--quick is --scale quick: leave out one of --quick and --scale large$/,
    ],
    [
      ['ablate', 'rank', '--source-root', '.'],
      /data of your own needs both --source-root and --target-root$/,
    ],
    [
      ['ablate', 'rank', '--source-root', '.', '--target-root', '.', '--data', 'd'],
      /--data is of rendered streets: leave it out/,
    ],
    [['ablate', 'rank', '--seeds', '0'], /--seeds '0': must be a whole number from 1 to 100$/],
    [['ablate', 'rank', '--cells', 'r2,'], /must be names with commas between them, such as r2,r4$/],
    [
      ['ablate', 'rank', '--set', 'rank'],
      /--set 'rank': must be KEY=VALUE, such as method\.contrast\.rank=3$/,
    ],
    [['ablate', 'rank', '--start', 'nowhere'], /--start 'nowhere': there is no such file or folder$/],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await run(args);
    expect(code).toBe(2);
    expect(err.trimEnd()).toMatch(message);
  });
});
