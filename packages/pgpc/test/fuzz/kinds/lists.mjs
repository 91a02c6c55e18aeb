// What published data sets and tools say of their classes, splits and images: JSON, lists of names, tables, MATLAB files.
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { z } from 'zod';
import { readJson } from '../../../../datasets/dist/classes/json.js';
import { FileCache } from '../../../../datasets/dist/files/file-cache.js';
import { readPanoptic } from '../../../../datasets/dist/readers/coco-panoptic.js';
import { readTasks } from '../../../../datasets/dist/readers/label-studio-masks.js';
import { readNameList, splitIds } from '../../../../datasets/dist/readers/splits.js';
import { judged } from '../judge.mjs';
import { changeValue, jsonOf } from '../plain-values.mjs';
import { changeBytes } from '../random.mjs';

const PANOPTIC = {
  images: [{ id: 1, file_name: 'a.jpg' }],
  annotations: [
    {
      image_id: 1,
      file_name: 'a.png',
      segments_info: [
        { id: 3, category_id: 7 },
        { id: 9, category_id: 8 },
      ],
    },
  ],
  categories: [
    { id: 7, name: 'road', isthing: 0, color: [1, 2, 3] },
    { id: 8, name: 'car', isthing: 1 },
  ],
};
const TASKS = [
  {
    id: 1,
    data: { image: '/data/upload/1/abcdef12-a.jpg' },
    annotations: [{ id: 2, result: [{ value: { brushlabels: ['road'] } }] }],
  },
  { id: 2, image: 'b.jpg', tag: [{ brushlabels: ['car'] }], annotation_id: 3 },
];
const LABELS = { labels: [{ name: 'road', color: [1, 2, 3], evaluate: true }] };
const ENTRIES = { version: 1, files: { 'a.png': { size: 3 }, 'b.png': { size: 4 } } };
const NAMES = '# train\na\nimages/b.png\n"c.jpg" "c.png"\n';

function element(type, data) {
  const bytes = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(data.length, 4);
  data.copy(bytes, 8);
  return bytes;
}

function matlab(random) {
  const numbers = Buffer.from(Uint16Array.from([1, 2, 300]).buffer);
  const matrix = Buffer.concat([
    ...[
      element(6, Buffer.alloc(8)),
      element(5, Buffer.alloc(8)),
      element(1, Buffer.from('trainIds')),
      element(4, numbers),
    ],
  ]);
  const changed = random.chance(0.4) ? changeBytes(random, matrix, 3) : matrix;
  const inner = element(14, changed);
  const packed = random.chance(0.5) ? element(15, deflateSync(inner)) : inner;
  return Buffer.concat([Buffer.alloc(124), Buffer.from([0, 1, 0x49, 0x4d]), packed]);
}

const json = (value) => (random) => Buffer.from(jsonOf(changeValue(random, value)));
const FORMS = {
  'panoptic.json': json(PANOPTIC),
  'tasks.json': json(TASKS),
  'config.json': json(LABELS),
  '.pgpc/checked.json': json(ENTRIES),
  'val.txt': () => Buffer.from(NAMES),
  'split.mat': matlab,
};

function make(random) {
  const name = random.pick(Object.keys(FORMS));
  const bytes = FORMS[name](random);
  const share = name.endsWith('.json') ? 0.3 : 0.8;
  return new Map([[name, random.chance(share) ? changeBytes(random, bytes, 4) : bytes]]);
}

const labelsSchema = z.object({ labels: z.array(z.object({ name: z.string() })) });
const entrySchema = z.object({ size: z.number() });
const IMAGES = new Map([
  ['a', '/x/images/a.png'],
  ['b', '/x/images/b.png'],
]);

const READERS = {
  'panoptic.json': (file) => readPanoptic(file, true),
  'tasks.json': (file) => readTasks(file),
  'config.json': (file) => readJson(file, labelsSchema, 'labels'),
  'val.txt': (file) => readNameList(file, IMAGES),
  'split.mat': (file) => splitIds(join(file, '..'), 'train', IMAGES, ''),
};

async function read(folder, _, files) {
  const [name] = files.keys();
  const file = join(folder, name);
  if (name.startsWith('.pgpc')) {
    const cache = await judged('FileCache.open', file, () => FileCache.open(folder, 'checked', entrySchema));
    return cache?.get(join(folder, 'a.png')) !== undefined;
  }
  return (await judged(name, file, () => READERS[name](file))) !== undefined;
}

export const lists = { lanes: 8, make, read };
