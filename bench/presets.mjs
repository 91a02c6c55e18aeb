// Every preset to its end: from GTA5 and SYNTHIA each method with MiT-B0 and MiT-B5, and PGPC on the other networks; with
// MiT-B0 all presets with HRDA, and with MIC on it. A few hundred steps on rendered images in the datasets' own layouts at
// small size. Shows that it runs and evaluates, not what it reaches on real data.
// Usage: node bench/presets.mjs [--iterations 200] [--crop 64x64] [--batch 1] [--jobs 1]
//   [--only mit-b5,synthia-cityscapes/deeplabv2,pgpc+hrda]
// --only runs those whose preset/network/method+form contains one of the texts; the rows of the others stay as an earlier
// run with the same settings left them.

import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    iterations: { type: 'string', default: '200' },
    crop: { type: 'string', default: '64x64' },
    batch: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    work: { type: 'string', default: 'runs/presets' },
    only: { type: 'string' },
  },
});
const program = fileURLToPath(new URL('../packages/pgpc/bin/pgpc.js', import.meta.url));
const results = fileURLToPath(new URL('./results/presets.json', import.meta.url));
/** Folders of source and target under the work folder, and the form of MIC that its authors take. */
const presets = {
  'gta5-cityscapes': { source: 'gta5/gta5', target: 'gta5/cityscapes', mic: 'mic' },
  'synthia-cityscapes': { source: 'synthia/synthia', target: 'synthia/cityscapes', mic: 'mic' },
  'cityscapes-acdc': { source: 'gta5/cityscapes', target: 'acdc', mic: 'mic-adverse' },
  'cityscapes-dark-zurich': { source: 'gta5/cityscapes', target: 'dark-zurich', mic: 'mic-adverse' },
};
const adverse = ['cityscapes-acdc', 'cityscapes-dark-zurich'];
/** What is added to a method. */
const forms = ['', '+hrda', '+hrda+mic'];
const networks = {
  'mit-b0': ['source-only', 'daformer', 'pgpc'],
  deeplabv2: ['pgpc'],
  'hrnet-w48': ['pgpc'],
  'mit-b5': ['source-only', 'daformer', 'pgpc'],
};
const runs = [
  ...Object.entries(networks).flatMap(([network, methods]) =>
    Object.keys(presets)
      .filter((preset) => !adverse.includes(preset))
      .flatMap((preset) => methods.map((method) => [preset, network, method])),
  ),
  ...Object.keys(presets).flatMap((preset) =>
    forms
      .filter((form) => form !== '' || adverse.includes(preset))
      .flatMap((form) => ['daformer', 'pgpc'].map((method) => [preset, 'mit-b0', method + form])),
  ),
].filter((run) => !flags.only || flags.only.split(',').some((text) => run.join('/').includes(text)));
if (runs.length === 0) throw new Error(`--only ${flags.only}: no preset/network/method contains this`);

function pgpc(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (text) => {
      out += text;
    });
    child.stderr.on('data', (text) => {
      err += text;
    });
    child.on('close', (code) =>
      code === 0 ? resolve({ out, err }) : reject(new Error(`${args.join(' ')}: exit code ${code}\n${err}`)),
    );
  });
}

mkdirSync(flags.work, { recursive: true });
for (const layout of ['gta5', 'synthia']) {
  const counts = ['--source-train', '60', '--source-val', '0', '--target-train', '60', '--target-val', '20'];
  await pgpc('data', 'render', '--out', join(flags.work, layout), '--source-layout', layout, ...counts);
}

/** Copies rendered Cityscapes of other scenes into the folders and names of ACDC and Dark Zurich, in turns for each condition. */
function writeAdverse(from, to, conditions, folderOf) {
  const parts = [
    ['leftImg8bit', 'rgb_anon', '_leftImg8bit.png', '_rgb_anon.png'],
    ['gtFine', 'gt', '_gtFine_labelIds.png', '_gt_labelIds.png'],
  ];
  for (const [part, kind, suffix, named] of parts) {
    for (const split of ['train', 'val']) {
      const files = readdirSync(join(from, part, split), { recursive: true, encoding: 'utf8' });
      const images = files.filter((name) => name.endsWith(suffix)).sort();
      for (const [i, file] of images.entries()) {
        const folder = join(to, kind, folderOf(split, conditions[i % conditions.length]), 'GOPR');
        mkdirSync(folder, { recursive: true });
        const name = basename(file).replace(suffix, named);
        copyFileSync(join(from, part, split, file), join(folder, name));
      }
    }
  }
}
if (runs.some(([preset]) => adverse.includes(preset))) {
  const counts = ['--source-train', '0', '--source-val', '0', '--target-train', '60', '--target-val', '20'];
  await pgpc('data', 'render', '--out', join(flags.work, 'others'), '--seed', '2', ...counts);
  const from = join(flags.work, 'others/cityscapes');
  const conditions = ['fog', 'night', 'rain', 'snow'];
  writeAdverse(from, join(flags.work, 'acdc'), conditions, (split, condition) => `${condition}/${split}`);
  writeAdverse(
    from,
    join(flags.work, 'dark-zurich'),
    ['night'],
    (split, condition) => `${split}/${condition}`,
  );
}

// Random encoders stand for ImageNet's, which are not here: they are read in the same way, and the feature
// distance is taken to them.
const { Segmentor, segmentorConfig } = await import('../packages/pgpc/dist/index.js');
const { saveSafetensors } = await import('@pgpc/torch');
const parts = {
  'mit-b0': ['mit_b0', 'daformer'],
  'mit-b5': ['mit_b5', 'daformer'],
  deeplabv2: ['resnet101', 'deeplabv2'],
  'hrnet-w48': ['hrnet_w48', 'hrnet'],
};
for (const [network, [backbone, head]] of Object.entries(parts)) {
  if (!runs.some((run) => run[1] === network)) continue;
  const segmentor = new Segmentor(
    segmentorConfig(/** @type {any} */ (backbone), /** @type {any} */ (head)),
    0,
  );
  saveSafetensors(join(flags.work, `${network}.safetensors`), segmentor.backbone.stateDict());
  segmentor.dispose();
}

async function train(preset, network, method) {
  const { source, target, mic } = presets[preset];
  const [by, ...added] = method.split('+');
  const name = `${preset}-${network}-${method}`.replaceAll('+', '-');
  const weights = join(flags.work, `${network}.safetensors`);
  const began = performance.now();
  const { out, err } = await pgpc(
    ...['train', '--preset', preset, '--network', network, '--method', by, '--weights', weights],
    ...(added.includes('hrda') ? ['--multi-resolution', 'hrda'] : []),
    ...(added.includes('mic') ? ['--masked-consistency', mic] : []),
    ...['--source-root', join(flags.work, source), '--target-root', join(flags.work, target)],
    // The rendered images are as small as this; the preset's own sizes would only enlarge them.
    ...['--source-scale', '256x144', '--target-scale', '256x128'],
    ...[
      '--crop',
      flags.crop,
      '--iterations',
      flags.iterations,
      '--out',
      flags.work,
      '--name',
      name,
      '--overwrite',
    ],
  );
  const run = join(flags.work, name);
  const [result] = JSON.parse(readFileSync(join(run, 'results.json'), 'utf8'));
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    // The scores without labels have lines of their own.
    .filter((entry) => 'loss/source' in entry);
  const mean = (part) => part.reduce((sum, entry) => sum + entry['loss/source'], 0) / part.length;
  const subsets = [...out.matchAll(/mIoU over (\d+) classes: ([\d.]+)/g)].map(([, classes, miou]) => [
    classes,
    +miou,
  ]);
  const row = {
    preset,
    network,
    method,
    losses: Object.keys(lines.at(-1)).filter((key) => key.startsWith('loss/')),
    finite: lines.every((entry) =>
      Object.values(entry).every((value) => typeof value === 'string' || Number.isFinite(value)),
    ),
    firstLoss: mean(lines.slice(0, 5)),
    lastLoss: mean(lines.slice(-5)),
    miou: 100 * result.miou,
    subsets: Object.fromEntries(subsets),
    secondsPerStep: result.seconds / Number(flags.iterations),
    memoryGib: Number(/memory: a step takes ([\d.]+) GiB/.exec(err)?.[1]),
    minutes: (performance.now() - began) / 60_000,
  };
  // The checkpoints of so large networks are not what this is for.
  rmSync(join(run, 'checkpoints'), { recursive: true, force: true });
  return row;
}

const settings = { iterations: Number(flags.iterations), crop: flags.crop, batch: Number(flags.batch) };
const rows = earlierRows();
const waiting = [...runs];
async function work() {
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const row = await train(...next);
    const same = rows.findIndex((old) => next.join() === [old.preset, old.network, old.method].join());
    if (same >= 0) rows.splice(same, 1);
    rows.push(row);
    save();
    console.error(`${next.join(' ')}: mIoU ${row.miou.toFixed(1)}, ${row.minutes.toFixed(1)} minutes`);
  }
}

function earlierRows() {
  if (!flags.only || !existsSync(results)) return [];
  const { rows: earlier, ...made } = JSON.parse(readFileSync(results, 'utf8'));
  return JSON.stringify(made) === JSON.stringify(settings) ? earlier : [];
}

function save() {
  const methods = ['source-only', ...forms.flatMap((form) => [`daformer${form}`, `pgpc${form}`])];
  const order = ({ preset, network, method }) =>
    100 * Object.keys(presets).indexOf(preset) +
    10 * Object.keys(networks).indexOf(network) +
    methods.indexOf(method);
  const sorted = [...rows].sort((a, b) => order(a) - order(b));
  writeFileSync(results, `${JSON.stringify({ ...settings, rows: sorted }, null, 2)}\n`);
  return sorted;
}

await Promise.all(Array.from({ length: Number(flags.jobs) }, work));
console.log(
  '| preset | network | method | source loss, first and last 50 steps | mIoU | over 16, 13 | s a step | memory, GiB |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const row of save()) {
  const { preset, network, method, firstLoss, lastLoss, miou, subsets, secondsPerStep, memoryGib } = row;
  const cells = [
    preset,
    network,
    method,
    `${firstLoss.toFixed(2)}, ${lastLoss.toFixed(2)}`,
    miou.toFixed(1),
    Object.values(subsets)
      .map((value) => value.toFixed(1))
      .join(', ') || '-',
    secondsPerStep.toFixed(2),
    memoryGib.toFixed(1),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
