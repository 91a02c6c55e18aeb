// A decoding thread: crops in, pixels out.

import { parentPort } from 'node:worker_threads';
import { DatasetError } from '@pgpc/datasets';
import sharp from 'sharp';
import type { Answer, Question } from './decode-pool.js';
import { runCropTask } from './sample.js';

// One thread an image: the other cores have images of their own.
sharp.concurrency(1);

const port = parentPort!;

/** Crops under way at once: while one file is decoded, by a thread of libuv, the pixels of another are resized here. */
const AT_ONCE = 2;
const lanes: Promise<void>[] = Array.from({ length: AT_ONCE }, () => Promise.resolve());
let turn = 0;

port.on('message', (question: Question | 'close') => {
  if (question === 'close') {
    Promise.all(lanes).then(() => port.close());
    return;
  }
  const lane = turn++ % AT_ONCE;
  lanes[lane] = lanes[lane]!.then(() => answer(question));
});

async function answer({ id, task }: Question): Promise<void> {
  try {
    const result = await runCropTask(task);
    const { image, label } = result.crop;
    post({ id, result }, label ? [image.buffer, label.buffer] : [image.buffer]);
  } catch (error) {
    const { message, stack } = error as Error;
    const { kind, file } = error instanceof DatasetError ? error : {};
    post({ id, failure: { message, stack, dataset: error instanceof DatasetError, kind, file } }, []);
  }
}

function post(value: Answer, transfer: ArrayBuffer[]): void {
  port.postMessage(value, transfer);
}
