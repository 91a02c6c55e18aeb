// pgpc.yaml with the options of a command, and configurations of trainings and experiments.
import { join } from 'node:path';
import { Command } from 'commander';
import { stringify } from 'yaml';
import { registerAdapt } from '../../../dist/cli/commands/adapt.js';
import { applyConfigFile } from '../../../dist/cli/config-file.js';
import { parseExperiment } from '../../../dist/config/experiment.js';
import { withSettings } from '../../../dist/config/settings.js';
import { streetSynthPreset } from '../../../dist/recipes/street-synth.js';
import { judged } from '../judge.mjs';
import { anyValue, changeValue, jsonOf } from '../plain-values.mjs';
import { changeBytes } from '../random.mjs';
import { inFile } from './safetensors.mjs';

const OPTIONS = {
  'source-root': '.',
  'target-root': '.',
  methods: 'pgpc-plus,self-training',
  steps: 300,
  crop: 64,
  seed: 1,
  'skip-bad': true,
  'source-scale': '64x32',
  'source-range': '0:255',
  precision: 'float32',
  set: { 'method.contrast.rank': 3, batch: 4, 'optimizer.lr': 0.001 },
};
const { continuation } = streetSynthPreset({ seed: 0 });
const EXPERIMENT = continuation('pgpc-plus');
const KEYS = [
  ...[
    'method.contrast.rank',
    'method.contrast',
    'method',
    'batch',
    'optimizer.lr',
    'method.parts.x',
    'method.style',
    'crop.width',
  ],
  ...[
    'segmentor.backbone',
    '__proto__',
    '__proto__.x',
    'constructor.prototype.x',
    'method.constructor',
    'toString',
    '',
    '.',
    'a..b',
  ],
];

const root = new Command('pgpc');
registerAdapt(root, () => {});
const adapt = root.commands[0];

function make(random) {
  if (random.chance(0.5)) {
    const value = random.chance(0.8) ? changeValue(random, OPTIONS) : OPTIONS;
    let text;
    try {
      text = random.chance(0.5) ? jsonOf(value) : stringify(value);
    } catch {
      text = jsonOf(value);
    }
    const bytes = Buffer.from(text);
    return new Map([['pgpc.yaml', random.chance(0.3) ? changeBytes(random, bytes, 4) : bytes]]);
  }
  if (random.chance(0.5))
    return new Map([['experiment.json', Buffer.from(jsonOf(changeValue(random, EXPERIMENT)))]]);
  const settings = Object.create(null);
  for (let n = random.between(1, 3); n > 0; n--) settings[random.pick(KEYS)] = anyValue(random);
  return new Map([['settings.json', Buffer.from(jsonOf(settings))]]);
}

async function read(folder, _, files) {
  const [name] = files.keys();
  const file = join(folder, name);
  if (name === 'pgpc.yaml') {
    return (await judged('applyConfigFile', file, () => applyConfigFile(adapt, file))) !== undefined;
  }
  // Options are checked where they are given; the errors need no file, but must be of the project's own.
  const value = JSON.parse(files.get(name).toString());
  const make =
    name === 'settings.json' ? () => withSettings(EXPERIMENT, value ?? {}) : () => parseExperiment(value);
  return (
    (await judged(make === parseExperiment ? 'parseExperiment' : 'withSettings', file, () =>
      inFile(file, make),
    )) !== undefined
  );
}

export const config = { make, read };
