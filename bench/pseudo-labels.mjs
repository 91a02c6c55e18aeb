// What self-training and the contrast have to work with: pseudo-labels and anchors of a demo run against the target's
// true labels, which training never sees. Usage: node bench/pseudo-labels.mjs RUN [PHASE]

import { join } from 'node:path';
import { anchorCandidates } from '../packages/pgpc/dist/adaptation/contrast/anchors.js';
import { openCityscapes } from '../packages/pgpc/dist/datasets/index.js';
import { loadSegmentor } from '../packages/pgpc/dist/models/weights.js';
import { normalize } from '../packages/pgpc/dist/pipeline/normalize.js';
import { PixelStore } from '../packages/pgpc/dist/pipeline/pixels.js';
import { noGrad, ops, tidy, zeros } from '../packages/torch/dist/index.js';

const [run, phase = 'source'] = process.argv.slice(2);
if (!run) {
  console.error('usage: node bench/pseudo-labels.mjs RUN [PHASE], for example runs/demo pgpc');
  process.exit(2);
}
const segmentor = loadSegmentor(join(run, 'checkpoints', phase, 'model.safetensors')).eval();
const target = new PixelStore(await openCityscapes('data/street-synth-1/cityscapes', 'train'));
const { classes } = target.dataset;
const n = classes.length;

// Rows are the truth, columns the pseudo-label; the last row is "no class".
const all = zeros([n + 1, n], { dtype: 'int64' });
const anchors = zeros([n + 1, n], { dtype: 'int64' });
for (let i = 0; i < target.length; i += 4) {
  const { image, label } = await target.get(i);
  tidy(() =>
    noGrad(() => {
      const { logits } = segmentor.call(normalize(image.unsqueeze(0).to('float32').div_(255)));
      const size = logits.shape.slice(2);
      const probabilities = logits.softmax(1).permute([0, 2, 3, 1]).reshape([-1, n]);
      const truth = ops
        .upsampleNearest2d(label.unsqueeze(0).unsqueeze(0), size)
        .flatten()
        .to('int64')
        .clampMax(n);
      const cell = truth.mul(n).add(probabilities.argmax(1));
      all.add_(cell.bincount(null, (n + 1) * n).view([n + 1, n]));
      const certain = anchorCandidates(probabilities, 0.2).any(0);
      anchors.add_(
        cell
          .maskedSelect(certain)
          .bincount(null, (n + 1) * n)
          .view([n + 1, n]),
      );
    }),
  );
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const column = (matrix, c) => matrix.map((row) => row[c]);
const percent = (part, whole) => (whole === 0 ? '-' : ((100 * part) / whole).toFixed(1));
const pseudo = all.tolist();
const certain = anchors.tolist();
const labelled = (matrix) => sum(matrix.slice(0, n).flat());
const right = (matrix) => sum(classes.map((_, c) => matrix[c][c]));

console.log(
  `| class | of the true pixels, % | of the pseudo-labels, % | right, % | of the anchors, % | right, % |`,
);
console.log('| --- | --- | --- | --- | --- | --- |');
for (const [c, { name }] of classes.entries()) {
  const given = sum(column(pseudo.slice(0, n), c));
  const chosen = sum(column(certain.slice(0, n), c));
  const cells = [
    percent(sum(pseudo[c]), labelled(pseudo)),
    percent(given, labelled(pseudo)),
    percent(pseudo[c][c], given),
    percent(chosen, labelled(certain)),
    percent(certain[c][c], chosen),
  ];
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
const total = [percent(right(pseudo), labelled(pseudo)), '100', percent(right(certain), labelled(certain))];
console.log(`| all | 100 | 100 | ${total.join(' | ')} |`);
