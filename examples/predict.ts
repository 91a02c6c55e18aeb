// Labels images with a trained model, and says which share of them each class takes.
//
//   node examples/dist/predict.js runs/pgpc/checkpoints/pgpc photos predicted

import { decodeLabel, predict } from 'pgpc';

const [checkpoint = 'runs/pgpc/checkpoints/pgpc', images = 'photos', out = 'predicted'] =
  process.argv.slice(2);
const { files, classes } = await predict({ checkpoint, images, out });
const table = Uint8Array.from({ length: 256 }, (_, trainId) => trainId);
const pixels = new Array<number>(classes.length).fill(0);
for (const file of files) {
  const { data } = await decodeLabel(file, { kind: 'values', table });
  for (const trainId of data) pixels[trainId]! += 1;
}
const all = pixels.reduce((sum, n) => sum + n);
for (const { name, trainId } of classes) {
  if (pixels[trainId]! > 0) console.log(`${name}: ${((100 * pixels[trainId]!) / all).toFixed(1)} %`);
}
