// Whether scores without labels order checkpoints as their true mIoU does, on runs that were evaluated.

import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compiled, describeMachine, here, machineLine, markdown, saveResults } from './lib.mjs';

const { loadSafetensors, tidy } = await compiled('torch');
const { openDataset, detectFormat } = await compiled('pgpc/datasets/open');
const { evaluateSegmentor } = await compiled('pgpc/evaluation/evaluate');
const { spearman } = await compiled('pgpc/evaluation/rank-correlation');
const { unlabelledScores } = await compiled('pgpc/evaluation/unlabelled');
const { loadSegmentor } = await compiled('pgpc/models/weights');
const { PixelStore } = await compiled('pgpc/pipeline/pixels');
const { goodness } = await compiled('pgpc/training/selection');
const { CHECKPOINT_FILE, MODEL_FILE } = await compiled('pgpc/training/trainer');
const { useCores } = await compiled('pgpc/versions');

const SCORES = ['information', 'density', 'entropy', 'agreement'];

const { values: flags, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string' },
    scale: { type: 'string' },
    images: { type: 'string', default: '16' },
    results: { type: 'string', default: join(here, 'results') },
  },
});
if (!flags.target || folders.length === 0) {
  throw new Error('node bench/selection.mjs --target ROOT [--scale WxH] [--images N] RUN...');
}
const [width, height] = (flags.scale ?? '').split('x').map(Number);
const size = flags.scale && { width, height };

/** Folders with a model, under the folders given: a run's checkpoints, or many runs'. */
function checkpoints() {
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true }).map((file) => resolve(folder, file)),
  );
  return [...new Set(files.filter((file) => basename(file) === MODEL_FILE).map(dirname))].sort();
}

/** The teacher beside a checkpoint's student, if it was saved with one. */
function loadTeacher(folder) {
  const file = join(folder, CHECKPOINT_FILE);
  if (!existsSync(file)) return undefined;
  const prefix = 'teacher.segmentor.';
  return tidy(() => {
    const own = [...loadSafetensors(file).tensors].filter(([name]) => name.startsWith(prefix));
    if (own.length === 0) return undefined;
    const teacher = loadSegmentor(join(folder, MODEL_FILE));
    teacher.loadStateDict(new Map(own.map(([name, value]) => [name.slice(prefix.length), value])));
    return teacher;
  });
}

useCores();
const machine = describeMachine();
const format = await detectFormat(flags.target);
const train = new PixelStore(await openDataset({ format, root: flags.target, split: 'train' }), {
  scale: size,
});
const validation = await openDataset({ format, root: flags.target, split: 'val' });
const count = Math.min(Number(flags.images), train.length);
const images = await Promise.all(
  Array.from({ length: count }, (_, i) => train.image(Math.floor((i * train.length) / count))),
);

const rows = [];
for (const folder of checkpoints()) {
  const student = loadSegmentor(join(folder, MODEL_FILE));
  const teacher = loadTeacher(folder);
  const scores = unlabelledScores({ student, teacher }, images);
  const { miou } = (await evaluateSegmentor(student, validation, { size })).scores;
  rows.push({ folder, miou, scores });
  console.log(`${folder}: mIoU ${(100 * miou).toFixed(2)}`);
  student.dispose();
  teacher?.dispose();
}

const correlation = SCORES.map((score) => {
  const known = rows.filter(({ scores }) => scores[score] !== undefined);
  const rho =
    known.length < 2
      ? Number.NaN
      : spearman(
          known.map(({ scores }) => goodness(scores, score)),
          known.map(({ miou }) => miou),
        );
  return { score, checkpoints: known.length, rho };
});

const digits = (value) => (value === undefined ? '' : value.toFixed(3));
console.log(
  [
    markdown(
      ['checkpoint', 'mIoU', ...SCORES],
      rows.map(({ folder, miou, scores }) => [
        folder,
        (100 * miou).toFixed(2),
        ...SCORES.map((score) => digits(scores[score])),
      ]),
    ),
    markdown(
      ['score (lower entropy counts as better)', 'checkpoints', "Spearman's rho with mIoU"],
      correlation.map(({ score, checkpoints, rho }) => [score, checkpoints, digits(rho)]),
    ),
    machineLine(machine),
  ].join('\n\n'),
);
saveResults(flags.results, 'selection', { machine, images: count, rows, correlation });
