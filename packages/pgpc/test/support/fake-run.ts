// A run directory with made-up numbers and pictures, for the tests of the report.
import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import type { MethodResult, PictureIndex } from '../../src/training/run-directory/schema.js';

export interface FakeRunOptions {
  readonly name?: string;
  readonly title?: string;
  readonly samples?: number;
  readonly seeds?: readonly (number | undefined)[];
  readonly methods?: readonly (readonly [name: string, label: string, level: number])[];
  readonly width?: number;
}

const METHODS = [
  ['source-only', 'Source only', 0.36],
  ['self-training', 'Self-training', 0.48],
  ['pgpc', 'PGPC', 0.52],
  ['oracle', 'Oracle', 0.61],
] as const;

/** Writes a run under `root` that looks like a finished demo: four methods, three phases, pictures. */
export async function writeFakeRun(root: string, options: FakeRunOptions = {}): Promise<RunDirectory> {
  const { methods = METHODS, samples = 3, seeds = [undefined], width = 256 } = options;
  const run = RunDirectory.create(root, options.name ?? 'fake', {
    config: {
      method: 'pgpc',
      iterations: 400,
      model: { backbone: 'mit-b0', head: 'daformer', channels: [32, 64, 160, 256] },
      contrast: { tau: 0.5, anchors: 256, negatives: 512, warmup: 200, temperature: null },
    },
    seed: 1,
    versions: { pgpc: '0.1.0', libtorch: '1.13.1' },
    gitRevision: '0123456789abcdef0123456789abcdef01234567',
    title: options.title ?? 'Adapting a street-scene network to an unlabelled camera',
    description:
      'A network trained on rendered streets with labels is adapted to streets of another look without labels.',
    command: 'pgpc demo --seed 1',
  });
  const random = uniform(7);
  for (const seed of seeds) {
    for (const phase of ['source-only', 'self-training', 'pgpc']) {
      for (let iteration = 5; iteration <= 400; iteration += 5) {
        const noise = () => 0.8 + 0.4 * random();
        const progress = iteration / 400;
        const source = (0.25 + 2.6 * Math.exp(-6 * progress)) * noise();
        const values: Record<string, number> = { 'loss/source': source, lr: 6e-5 * (1 - progress) };
        let total = source;
        if (phase !== 'source-only') {
          values['loss/target'] = (0.2 + 0.5 * Math.exp(-3 * progress)) * noise();
          values.q = Math.min(1, (0.2 + 0.6 * progress) * noise());
          total += values['loss/target'];
        }
        if (phase === 'pgpc' && progress > 0.5) {
          values['loss/contrast'] = 4 * noise();
          total += 0.1 * values['loss/contrast'];
        }
        values['loss/total'] = total;
        if (iteration % 100 === 0) values['val/miou'] = 0.3 + 0.2 * progress;
        run.log({ phase, iteration, ...(seed === undefined ? {} : { seed }) }, values);
      }
    }
    for (const [name, label, level] of methods) run.addResult(fakeResult(name, label, level, seed, random));
  }

  const index: PictureIndex = { source: [], target: [] };
  const height = Math.round(width / 2);
  const labels = (shift: number) => {
    const data = new Uint8Array(width * height);
    for (let i = 0; i < data.length; i++) {
      const x = i % width;
      const y = Math.floor(i / width);
      data[i] = y > height * 0.93 ? 255 : (Math.floor(x / 24) + Math.floor((y + shift) / 20) * 5) % 19;
    }
    return { width, height, data };
  };
  const image = (red: number) => {
    const data = new Uint8Array(width * height * 3);
    for (let i = 0; i < data.length; i++) data[i] = i % 3 === 0 ? red : ((i / 3) % width) / (width / 255);
    return { width, height, data };
  };
  for (let sample = 0; sample < samples; sample++) {
    await run.writePicture(`target-${sample}.png`, image(60 * sample));
    await run.writeLabelPicture(`target-${sample}-truth.png`, labels(0));
    const predictions: Record<string, string> = {};
    for (const [order, [name]] of methods.entries()) {
      predictions[name] = `target-${sample}-${name}.png`;
      await run.writeLabelPicture(predictions[name], labels(4 - order));
    }
    index.target.push({
      id: `synth_${String(sample).padStart(6, '0')}_000019`,
      image: `target-${sample}.png`,
      truth: `target-${sample}-truth.png`,
      predictions,
    });
    await run.writePicture(`source-${sample}.png`, image(200));
    await run.writeLabelPicture(`source-${sample}-label.png`, labels(9));
    index.source.push({ image: `source-${sample}.png`, label: `source-${sample}-label.png` });
  }
  run.writePictureIndex(index);
  run.finish('finished');
  return run;
}

function fakeResult(
  name: string,
  label: string,
  level: number,
  seed: number | undefined,
  random: () => number,
): MethodResult {
  // Trucks occur nowhere: their IoU is undefined.
  const iou = CITYSCAPES_CLASSES.map((info, index) =>
    info.name === 'truck' ? Number.NaN : Math.min(0.97, level * (1.9 - index / 12) * (0.9 + 0.2 * random())),
  );
  const present = iou.filter(Number.isFinite);
  const miou = present.reduce((sum, value) => sum + value, 0) / present.length;
  return {
    name,
    label,
    ...(seed === undefined ? {} : { seed }),
    miou,
    iou,
    accuracy: 0.6 + level / 2,
    seconds: 400 * level,
  };
}

// Numerical Recipes' linear congruential generator: enough for noise that is the same every time.
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
