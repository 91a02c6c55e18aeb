// Predicts images with a trained model, and says which share of them each class takes.
//
//   node examples/dist/predict.js runs/pgpc/checkpoints/pgpc photos predicted

import { predict } from 'pgpc';

const [checkpoint = 'runs/pgpc/checkpoints/pgpc', images = 'photos', out = 'predicted'] =
  process.argv.slice(2);
const { lines, classes } = await predict({ checkpoint, images, out });
const pixelsOf = ({ width, height }: { width: number; height: number }) => width * height;
const all = lines.reduce((sum, line) => sum + pixelsOf(line), 0);
for (const { name } of classes) {
  const pixels = lines.reduce((sum, line) => sum + (line.shares[name] ?? 0) * pixelsOf(line), 0);
  if (pixels > 0) console.log(`${name}: ${((100 * pixels) / all).toFixed(1)} %`);
}
