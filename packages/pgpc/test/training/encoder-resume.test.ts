// Trainings of a DINO encoder as a user starts them, each way in which it can be trained: stopped, and resumed to the same end.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeStreetSynth } from '@pgpc/street-synth';
import { loadSafetensors } from '@pgpc/torch';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { locateModel } from '../../src/models/locate.js';
import { resumeTraining, runChoice } from '../../src/training/run.js';
import { openRun } from '../../src/training/run-directory/open-run.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-encoder-resume-'));
const data = join(folder, 'data');
beforeAll(() =>
  writeStreetSynth(data, { seed: 3, sourceTrain: 2, sourceVal: 0, targetTrain: 1, targetVal: 1, width: 64 }),
);
afterAll(() => rmSync(folder, { recursive: true }));

const STEPS = 2;

const ways = [
  ['lora', 'pgpc-plus', { encoderTraining: 'lora' }],
  ['rates by layer', 'self-training', { layerDecay: 0.8 }],
] as const;
// The files of these networks take seconds to write: `PGPC_ALL_NETWORKS=1` has both.
test.each(ways.slice(0, process.env.PGPC_ALL_NETWORKS === '1' ? undefined : 1))(
  '%s',
  async (way, method, training) => {
    const choice = {
      ...{ source: join(data, 'gta5'), target: join(data, 'cityscapes'), method, workers: 0, batch: 1 },
      network: 'dinov2-s' as const,
      ...{ weights: 'none', iterations: STEPS, crop: { width: 28, height: 28 } },
      ...training,
      set: { 'segmentor.channels': 16 },
    };
    const out = join(folder, way.replaceAll(' ', '-'));
    const common = { out, device: 'cpu', memoryCheck: false } as const;
    await runChoice(choice, { ...common, name: 'whole' });
    const stop = new AbortController();
    await runChoice(choice, {
      ...{ ...common, name: 'stopped', signal: stop.signal },
      onEvent: (event) => {
        if (event.kind === 'step' && event.done === 1) stop.abort();
      },
    });
    const run = join(out, 'stopped');
    expect(openRun(run).info.status).toBe('stopped');
    await resumeTraining(run, { device: 'cpu' });
    expect(openRun(run).info.status).toBe('finished');
    expect(openRun(run).results.map(({ name }) => name)).toEqual([method]);
    const files = ['whole', 'stopped'].map((name) => locateModel(join(out, name)));
    const [whole, resumed] = files.map((file) => loadSafetensors(file).tensors);
    expect([...resumed!.keys()]).toEqual([...whole!.keys()]);
    const others = [...whole!].filter(([name, tensor]) => !tensor.equal(resumed!.get(name)!));
    expect(others.map(([name]) => name)).toEqual([]);
    const names = [...whole!.keys()];
    expect(names.some((name) => name.includes('.lora.'))).toBe(way === 'lora');
  },
  120_000,
);
