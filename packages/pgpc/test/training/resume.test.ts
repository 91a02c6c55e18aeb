// A run that is resumed: on the data that it began with, wherever that is now, and for more steps than were planned.

import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeStreetSynth } from '@pgpc/street-synth';
import { liveTensors } from '@pgpc/torch';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { methodConfig } from '../../src/config/method.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import type { TrainingEvent } from '../../src/training/events.js';
import { lengthened, sameButChangeable } from '../../src/training/length.js';
import { type ResumeTrainingOptions, resumeTraining, runChoice } from '../../src/training/run.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import type { RunInfo } from '../../src/training/run-directory/schema.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-resume-'));
const data = join(folder, 'data');
const [source, target] = [join(data, 'gta5'), join(data, 'cityscapes')];
const original = join(folder, 'runs/source-only');
/** A copy of the run, which a test changes. */
const run = join(folder, 'runs/copy');

const choice = {
  source,
  target,
  method: 'source-only',
  crop: { width: 32, height: 32 },
  batch: 1,
  iterations: 2,
  workers: 0,
  device: 'cpu',
  set: { 'segmentor.head': 'segformer', 'segmentor.channels': 16 },
};

beforeAll(async () => {
  const counts = { sourceTrain: 2, sourceVal: 0, targetTrain: 1, targetVal: 1 };
  await writeStreetSynth(data, { seed: 3, ...counts, width: 64 });
  await runChoice(choice, { out: join(folder, 'runs'), device: 'cpu', memoryCheck: false });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  rmSync(run, { recursive: true, force: true });
  cpSync(original, run, { recursive: true });
});

async function resume(options: ResumeTrainingOptions = {}) {
  const events: TrainingEvent[] = [];
  const result = await resumeTraining(run, {
    device: 'cpu',
    ...options,
    onEvent: (event) => events.push(event),
  });
  return { result, said: events.flatMap((event) => (event.kind === 'remark' ? [event.message] : [])) };
}

describe('data', () => {
  /** Adds a source image, with the label of another. */
  function add(): () => void {
    const [image, label] = ['images', 'labels'].map((part) => join(source, part)) as [string, string];
    copyFileSync(join(image, '00001.png'), join(image, '00000.png'));
    copyFileSync(join(label, '00001.png'), join(label, '00000.png'));
    return () => {
      rmSync(join(image, '00000.png'));
      rmSync(join(label, '00000.png'));
    };
  }

  test('that was added to is refused with what was, or trained on and said when it is allowed', async () => {
    const restore = add();
    try {
      await expect(resume()).rejects.toThrow(
        /copy was trained on other data: .*images\/00000\.png was added: 3 source images instead of 2.*--allow-changed/,
      );
      const { said } = await resume({ allowChanged: true });
      expect(said.join()).toContain('other data: ');
      expect(openRun(run).info.changes![0]!.what).toContain('3 source images instead of 2');
    } finally {
      restore();
    }
    await expect(resume()).rejects.toThrow(/00000 is gone: 2 source images instead of 3/);
  }, 60_000);

  test('whose labels or images are others under the same names is refused', async () => {
    const label = join(source, 'labels/00001.png');
    const before = readFileSync(label);
    copyFileSync(join(source, 'labels/00002.png'), label);
    try {
      await expect(resume()).rejects.toThrow(/00001 has another label/);
    } finally {
      writeFileSync(label, before);
    }
    const [image] = [join(source, 'images/00001.png')];
    const pixels = readFileSync(image);
    copyFileSync(join(source, 'images/00002.png'), image);
    try {
      await expect(resume()).rejects.toThrow(/images\/00001\.png is another file/);
    } finally {
      writeFileSync(image, pixels);
    }
  }, 60_000);

  test('that was moved is found where it is said to be, and the run keeps that', async () => {
    renameSync(data, join(folder, 'moved'));
    const sourceRoot = join(folder, 'moved/gta5');
    try {
      await expect(resume()).rejects.toThrow(
        /the run's source .*data\/gta5 is not there: say where.*--source-root/,
      );
      const { said } = await resume({ sourceRoot, targetRoot: join(folder, 'moved/cityscapes') });
      expect(said).toContain(`the source is in ${sourceRoot} instead of ${source}`);
      expect(openRun(run).info.config).toMatchObject({ data: { source: { root: sourceRoot } } });
    } finally {
      renameSync(join(folder, 'moved'), data);
    }
  }, 60_000);

  test('of a run of before is looked for from here, and not known to be the same', async () => {
    rmSync(join(run, 'data.json'));
    expect((await resume()).said.join()).toContain('kept no record of its data');
    const file = join(run, 'run.json');
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(source, 'sim'));
    await expect(resume()).rejects.toThrow(/relative path.*from the working directory/);
  }, 60_000);
});

describe('what its numbers depend on', () => {
  const changeInfo = (change: (info: RunInfo) => Partial<RunInfo>) => {
    const file = join(run, 'run.json');
    const info = JSON.parse(readFileSync(file, 'utf8')) as RunInfo;
    writeFileSync(file, JSON.stringify({ ...info, ...change(info) }));
  };

  test.each<[string, (info: RunInfo) => Partial<RunInfo>, RegExp]>([
    [
      'threads',
      ({ versions }) => ({ versions: { ...versions, threads: '7' } }),
      /\d+ threads instead of 7 \(OMP_NUM_THREADS=7 has as many\)/,
    ],
    [
      'libtorch',
      ({ versions }) => ({ versions: { ...versions, libtorch: '0.4.1' } }),
      /libtorch is \S+ instead of 0\.4\.1/,
    ],
    [
      'vector instructions',
      ({ versions }) => ({ versions: { ...versions, instructions: 'MMX' } }),
      /libtorch's vector instructions are \S+ instead of MMX/,
    ],
    [
      'model of processor',
      ({ versions }) => ({ versions: { ...versions, core: 'family 6, model 1' } }),
      /the processor's kind is .* instead of family 6, model 1/,
    ],
    ['device', () => ({ device: 'cpu, then cuda:0 (NVIDIA H200)' }), /the device is cpu instead of cuda:0/],
    [
      'processor',
      () => ({ machine: 'linux x64, Z80, 2 threads, 1 GiB' }),
      /the processor is .* instead of linux x64, Z80/,
    ],
  ])('other %s: is refused, or said and recorded', async (_, change, what) => {
    changeInfo(change);
    await expect(resume()).rejects.toThrow(what);
    await expect(resume()).rejects.toThrow(/would not resume exactly: .*--allow-changed/);
    expect((await resume({ allowChanged: true })).said.join()).toMatch(what);
    expect(
      openRun(run)
        .info.changes!.map(({ what }) => what)
        .join(),
    ).toMatch(what);
    // From now on it is as it is here.
    expect((await resume()).said.join()).not.toMatch(what);
  });

  test('not on how many processors and how much memory there are, nor on the version of Node', async () => {
    changeInfo(({ machine, versions }) => ({
      machine: machine.replace(/, \d+ threads, \d+ GiB/, ', 99 threads, 1 GiB'),
      versions: { ...versions, node: '18.0.0' },
    }));
    expect((await resume()).said).toEqual(['all 2 steps are done; --iterations N trains up to step N']);
  });
});

describe('a training that went wrong', () => {
  test('resumes from the checkpoint before the newest, at another rate, and says so', async () => {
    await resume({ iterations: 3 });
    const { said, result } = await resume({ from: 2, lr: 1e-5 });
    expect(said).toContain('a learning rate of 0.00001 instead of 0.00006, from step 2 on');
    expect(result.outcome).toBe('finished');
    const { info, metrics } = openRun(run);
    expect(info.config).toMatchObject({ experiment: { iterations: 3, optimizer: { lr: 1e-5 } } });
    expect(info.changes!.map(({ what }) => what).join()).toContain('a learning rate of 0.00001');
    // One line of a step, of the rate that it was trained at.
    const last = metrics.filter(({ iteration }) => iteration === 3);
    expect(last).toHaveLength(1);
    expect(last[0]!.values.lr).toBeLessThanOrEqual(1e-5);
    expect(readdirSync(join(run, 'checkpoints/source-only'))).toContain('training.left.safetensors');
    await expect(resume({ from: 1 })).rejects.toThrow(
      '--from 1: there is no checkpoint of this step; whole are: 3 and 2',
    );
  }, 60_000);
});

describe('more steps', () => {
  test('are trained from the last, and the run says so', async () => {
    const before = liveTensors();
    const { result, said } = await resume({ iterations: 3 });
    expect(result.outcome).toBe('finished');
    expect(said.join()).toContain('3 steps instead of 2, from step 2 on; the learning rate follows');
    const { info, metrics } = openRun(run);
    expect(info.config).toMatchObject({ experiment: { iterations: 3 } });
    expect(info.changes).toHaveLength(1);
    expect(metrics.at(-1)!.iteration).toBe(3);
    // Its checkpoint is of the new length.
    expect((await resume()).said).toEqual(['all 3 steps are done; --iterations N trains up to step N']);
    await expect(resume({ iterations: 3 })).resolves.toBeDefined();
    await expect(resume({ iterations: 2 })).rejects.toThrow(/--iterations 2: 3 steps are done already/);
    expect(liveTensors()).toBe(before);
  }, 60_000);

  test('leave what has set in as it is', () => {
    const experiment = daformerRecipe({ method: methodConfig('pgpc'), iterations: 40 });
    const longer = lengthened(experiment, 70, 30);
    expect(longer.iterations).toBe(70);
    expect(20 / 70 >= longer.method.contrast!.warmup && 19 / 70 < longer.method.contrast!.warmup).toBe(true);
    expect(sameButChangeable(experiment, longer)).toBe(true);
    expect(sameButChangeable(experiment, { ...longer, seed: 8 })).toBe(false);
    expect(() => lengthened(experiment, 30, 30)).toThrow(/30 steps are done/);
  });
});

describe('a whole network to start from', () => {
  const from = (init: string, changes: object = {}, events: TrainingEvent[] = []) =>
    runChoice(
      { ...choice, set: {}, iterations: 1, init, ...changes },
      {
        out: join(folder, 'runs'),
        device: 'cpu',
        memoryCheck: false,
        onEvent: (event) => events.push(event),
      },
    );

  test('is taken from a run, for student and teacher, with its sizes', async () => {
    const events: TrainingEvent[] = [];
    const { run: directory } = await from(original, { method: 'self-training' }, events);
    const init = events.find((event) => event.kind === 'init')!;
    expect(init.file).toBe(join(original, 'checkpoints/source-only/model.safetensors'));
    expect(init.entries).toBeGreaterThan(100);
    const { config } = openRun(directory!).info;
    expect(config).toMatchObject({
      start: { init: init.file },
      experiment: { segmentor: { head: 'segformer', channels: 16 } },
    });
  }, 60_000);

  test('is refused where it is another, with the differences', async () => {
    await expect(from(original, { network: 'mit-b1' })).rejects.toThrow(
      /--init .*its network is mit_b0 with the segformer head of 16 channels, the training's mit_b1 with the daformer/,
    );
    await expect(from(source)).rejects.toThrow(
      /neither a run directory nor a folder with model\.safetensors/,
    );
  });
});
