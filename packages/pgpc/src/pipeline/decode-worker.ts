// A decoding thread: crops in, pixels out.

import { serveTasks } from '@pgpc/datasets';
import sharp from 'sharp';
import { runCropTask } from './sample.js';

// One thread an image: the other cores have images of their own.
sharp.concurrency(1);

// Two crops at once: while one file is decoded, by a thread of libuv, the pixels of another are resized here.
serveTasks(runCropTask, 2, ({ crop: { image, label } }) =>
  label ? [image.buffer, label.buffer] : [image.buffer],
);
