import { tidy } from '@pgpc/torch';
import { afterEach, expect, test } from 'vitest';
import { pureLabels } from '../../src/pixels.js';
import { streetSynthPreset } from '../../src/recipes/street-synth.js';
import { RandomSteps } from '../../src/training/random-steps.js';

const preset = streetSynthPreset({ scale: 'quick', seed: 1 });
let steps: RandomSteps;
afterEach(() => steps.dispose());

test('the labels give features a class of their own: a step of a contrast has something to contrast', () => {
  steps = new RandomSteps(preset.continuation('pgpc-plus'), 'cpu');
  tidy(() => {
    const { sourceLabel } = steps.batch();
    const { crop, segmentor } = steps.experiment;
    const labels = pureLabels(sourceLabel, [crop.height / 4, crop.width / 4], segmentor.classes, 0.75);
    expect(labels.lt(255).to('float32').mean().item()).toBe(1);
  });
});

test.each(['pgpc', 'pgpc-plus'] as const)('a step of %s learns from every part of its loss', (method) => {
  steps = new RandomSteps(preset.continuation(method), 'cpu');
  // The first step fills the banks of the second.
  steps.run();
  steps.run(({ source, target, contrast }) => {
    for (const loss of [source, target, contrast]) expect(loss!.item()).toBeGreaterThan(0);
  });
});
