// What each method's step takes beside self-training's: time and memory, for docs/which-method.md.
//
//   node bench/methods.mjs --crop 128x128 --channels 64 --rounds 5

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { streetSynthPreset } from '../packages/pgpc/dist/recipes/street-synth.js';
import { describeMachine, finish, markdown, median, ratioOf, readFlags } from './lib.mjs';

const flags = readFlags({
  crop: '128x128',
  channels: 64,
  batch: 2,
  threads: 2,
  rounds: 5,
  steps: 10,
  network: 'mit-b0',
});
const { crop, channels, batch, threads, rounds, steps, network } = flags;
const machine = describeMachine();

const RECIPE = [
  ...['--method', 'pgpc-plus', '--style', 'dcan', '--denoise', 'prototypes'],
  ...['--set', 'method.denoise.where=labels'],
];
const HRDA = ['--multi-resolution', 'hrda'];
const MIC = ['--masked-consistency', 'mic'];
/** As in the evidence (`ablate`): small banks, few anchors and narrow projections, whose cost does not shrink with the crop. */
const { contrast } = streetSynthPreset({ seed: 0 }).continuation('pgpc').method;
const CONTRAST = ['anchors', 'negatives', 'bankCapacity', 'enqueue', 'width'].flatMap((key) => [
  '--set',
  `method.contrast.${key}=${contrast?.[key]}`,
]);
/** By what stands in the table. The first is what the others are compared with. */
const methods = {
  'self-training': ['--method', 'self-training'],
  'source only': ['--method', 'source-only'],
  pgpc: ['--method', 'pgpc'],
  'pgpc-plus': ['--method', 'pgpc-plus'],
  'pgpc-plus, dcan, denoised labels': RECIPE,
  'batch-contrast': ['--method', 'batch-contrast'],
  'self-training, MIC': ['--method', 'self-training', ...MIC],
  'pgpc-plus, MIC': ['--method', 'pgpc-plus', ...MIC],
  'self-training, HRDA': ['--method', 'self-training', ...HRDA],
  'pgpc-plus, HRDA': ['--method', 'pgpc-plus', ...HRDA],
  'pgpc-plus, HRDA and MIC': ['--method', 'pgpc-plus', ...HRDA, ...MIC],
};
const names = Object.keys(methods);

const program = fileURLToPath(new URL('../packages/pgpc/bin/pgpc.js', import.meta.url));

/** A process of its own, whose peak of memory is the method's. */
function measured(name) {
  const command = [
    program,
    'bench',
    ...methods[name],
    ...(methods[name].some((word) => word.startsWith('pgpc')) ? CONTRAST : []),
    ...['--network', network, '--crop', crop, '--batch', batch, '--threads', threads, '--steps', steps],
    ...['--set', `segmentor.channels=${channels}`, '--json', '-'],
  ].map(String);
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    encoding: 'utf8',
    env: { ...process.env, OMP_WAIT_POLICY: 'passive' },
  });
  if (status !== 0) throw new Error(`${name}: exit code ${status}\n${stderr}`);
  const { times, peakBytes } = JSON.parse(stdout);
  // The fastest: what else a machine does only adds to a step, and to some of them.
  return { ms: Math.min(...times.map(({ data, step }) => data + step)), peakBytes };
}

/** @type {Map<string, { ms: number, peakBytes: number }[]>} */
const taken = new Map(names.map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (const name of round % 2 ? names.toReversed() : names) taken.get(name)?.push(measured(name));
  console.error(`round ${round + 1} of ${rounds}`);
}
const of = (name, key) => (taken.get(name) ?? []).map((one) => one[key]);
const rows = names.map((name) => {
  const ratios = of(name, 'ms').map((ms, i) => ms / of(names[0], 'ms')[i]);
  return {
    name,
    ms: median(of(name, 'ms')),
    time: median(ratios),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
    memory: ratioOf(of(name, 'peakBytes'), of(names[0], 'peakBytes')),
    peakMiB: median(of(name, 'peakBytes')) / 2 ** 20,
  };
});
console.log(
  markdown(
    ['method', 'ms, fastest step', 'of self-training', 'rounds', 'peak MiB', 'of self-training'],
    rows.map(({ name, ms, time, least, most, memory, peakMiB }) => [
      name,
      ms.toFixed(0),
      time.toFixed(2),
      `${least.toFixed(2)} to ${most.toFixed(2)}`,
      peakMiB.toFixed(0),
      memory.toFixed(2),
    ]),
  ),
);
finish(flags.results, 'methods', machine, {
  settings: { network, crop, channels, batch, threads, rounds, steps },
  rows,
  taken: Object.fromEntries(taken),
});
