// What self-training and the contrast have to work with: pseudo-labels and anchors of a demo run against the target's
// true labels, which training never sees; as they are by class, and in all with each way of denoising.
// Usage: node bench/pseudo-labels.mjs RUN [PHASE] [DATA]

import { join } from 'node:path';
import { openCityscapes } from '@pgpc/datasets';
import { noGrad, ops, tidy, zeros } from '@pgpc/torch';
import { anchorCandidates } from '../packages/pgpc/dist/adaptation/contrast/anchors.js';
import { Denoiser } from '../packages/pgpc/dist/adaptation/denoise/denoise.js';
import { denoisers } from '../packages/pgpc/dist/config/denoise.js';
import { scores } from '../packages/pgpc/dist/evaluation/scores.js';
import { loadSegmentor } from '../packages/pgpc/dist/models/checkpoint.js';
import { normalize } from '../packages/pgpc/dist/pipeline/normalize.js';
import { PixelStore } from '../packages/pgpc/dist/pipeline/pixels.js';
import { pixelRows } from '../packages/pgpc/dist/pixels.js';
import { markdown } from './lib.mjs';

/** Every so many training images are labelled and compared, and as many others are seen by the prototypes before. */
const EVERY = 4;
const THRESHOLD = 0.968;

const [run, phase = 'source', data = 'data/street-synth-1'] = process.argv.slice(2);
if (!run) {
  console.error('usage: node bench/pseudo-labels.mjs RUN [PHASE] [DATA], for example runs/demo pgpc');
  process.exit(2);
}
const segmentor = loadSegmentor(join(run, 'checkpoints', phase, 'model.safetensors')).eval();
const target = new PixelStore(await openCityscapes(join(data, 'cityscapes'), 'train'));
const { classes } = target.dataset;
const n = classes.length;

/** Counts of one way to label; rows are the truth, the last one "no class", columns the pseudo-label. */
function counts(name, options) {
  return {
    name,
    denoiser: options && new Denoiser(options, n, segmentor.featureChannels),
    all: zeros([n + 1, n], { dtype: 'int64' }),
    anchors: zeros([n + 1, n], { dtype: 'int64' }),
    /** Sums of trust over labelled pixels: of the right ones, of all. And how many pixels reach the threshold. */
    trust: zeros([2]),
    certain: zeros([]),
    seconds: 0,
  };
}

const ways = [
  counts('none'),
  ...Object.entries(denoisers).map(([name, options]) => counts(name, options)),
  counts('agreement, flip and scale 1.25', { ...denoisers.agreement, scales: [1.25] }),
  counts('agreement, flip and scale 0.75', { ...denoisers.agreement, scales: [0.75] }),
];

async function imageAt(index) {
  const { image, label } = await target.get(index);
  return { image: normalize(image.unsqueeze(0).to('float32').div_(255)), label };
}

const predict = (image) => segmentor.call(image).logits;

/** One image, labelled in one way. */
function labelled(way, view, image) {
  const began = performance.now();
  const plain = { labels: view, contrast: view };
  const { labels, trust } = way.denoiser?.refine(view, image, predict) ?? plain;
  way.seconds += (performance.now() - began) / 1000;
  return { probabilities: pixelRows(labels.logits).softmax(1), trust: trust?.flatten() };
}

function compare(way, view, image, truth) {
  const { probabilities, trust } = labelled(way, view, image);
  const label = probabilities.argmax(1);
  const cell = truth.mul(n).add(label);
  const table = (cells) => cells.bincount(null, (n + 1) * n).view([n + 1, n]);
  way.all.add_(table(cell));
  way.anchors.add_(table(cell.maskedSelect(anchorCandidates(probabilities, 0.2).any(0))));
  const weight = (trust ?? ops.onesLike(truth).to('float32')).mul(truth.lt(n));
  way.trust.add_(ops.stack([weight.mul(label.eq(truth)).sum(), weight.sum()]));
  way.certain.add_(probabilities.amax([1]).ge(THRESHOLD).sum());
}

let pixels = 0;
let forwardSeconds = 0;
for (let i = EVERY / 2; i < target.length; i += EVERY) {
  const { image } = await imageAt(i);
  tidy(() =>
    noGrad(() => {
      const view = segmentor.call(image);
      for (const way of ways.filter(({ denoiser }) => denoiser?.prototypes)) labelled(way, view, image);
    }),
  );
  image.dispose();
}
for (const way of ways) way.seconds = 0;
for (let i = 0; i < target.length; i += EVERY) {
  const { image, label } = await imageAt(i);
  tidy(() =>
    noGrad(() => {
      const began = performance.now();
      const view = segmentor.call(image);
      forwardSeconds += (performance.now() - began) / 1000;
      const size = view.logits.shape.slice(2);
      const truth = ops
        .upsampleNearest2d(
          /** @type {import('@pgpc/torch').Tensor} */ (label).unsqueeze(0).unsqueeze(0),
          size,
        )
        .flatten()
        .to('int64')
        .clampMax(n);
      pixels += truth.numel;
      for (const way of ways) compare(way, view, image, truth);
    }),
  );
  image.dispose();
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const column = (matrix, c) => matrix.map((row) => row[c]);
const percent = (part, whole) => (whole === 0 ? '-' : ((100 * part) / whole).toFixed(1));
const ofClass = (matrix) => matrix.slice(0, n);
const total = (matrix) => sum(ofClass(matrix).flat());
const right = (matrix) => sum(classes.map((_, c) => matrix[c][c]));

/** @param {import('@pgpc/torch').Tensor} counts */
const listed = (counts) => /** @type {any} */ (counts.tolist());
const pseudo = listed(ways[0].all);
const anchors = listed(ways[0].anchors);
const rows = classes.map(({ name }, c) => {
  const given = sum(column(ofClass(pseudo), c));
  const chosen = sum(column(ofClass(anchors), c));
  return [
    name,
    percent(sum(pseudo[c]), total(pseudo)),
    percent(given, total(pseudo)),
    percent(pseudo[c][c], given),
    percent(chosen, total(anchors)),
    percent(anchors[c][c], chosen),
  ];
});
const inAll = [percent(right(pseudo), total(pseudo)), '100', percent(right(anchors), total(anchors))];
console.log(
  markdown(
    [
      'class',
      'of the true pixels, %',
      'of the pseudo-labels, %',
      'right, %',
      'of the anchors, %',
      'right, %',
    ],
    [...rows, ['all', '100', '100', ...inAll]],
  ),
);

console.log(
  `\n${markdown(
    [
      'denoising',
      'pseudo-labels right, %',
      'their mIoU, %',
      'right by trust, %',
      'mean trust',
      `probability from ${THRESHOLD} on, %`,
      'anchors right, %',
      'classes among anchors',
      'time, of a forward pass',
    ],
    ways.map(({ name, all, anchors, trust, certain, seconds }) => {
      const [table, chosen, [rightTrust, allTrust]] = [all, anchors, trust].map(listed);
      return [
        name,
        percent(right(table), total(table)),
        (100 * scores(ofClass(table)).miou).toFixed(2),
        percent(rightTrust, allTrust),
        (allTrust / total(table)).toFixed(3),
        percent(certain.item(), pixels),
        percent(right(chosen), total(chosen)),
        classes.filter((_, c) => chosen[c][c] > 0).length,
        (seconds / forwardSeconds).toFixed(2),
      ];
    }),
  )}`,
);
