// Safetensors files, and indexes of several: their headers' entries, offsets and lengths are changed, with the checksum that fits.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { checkSafetensors, indexWeights, loadSafetensors, loadWeights, tidy } from '@pgpc/torch';
import { readAbout } from '../../../dist/models/about.js';
import { findNetwork } from '../../../dist/models/weights/find-network.js';
import { expectSame, judged } from '../judge.mjs';
import { changeValue, jsonOf } from '../plain-values.mjs';
import { changeBytes, EDGES } from '../random.mjs';

const SIZES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 };
const NO_SUM = '0'.repeat(64);

/** A header that is right, and its data. */
function valid(random) {
  const header = {};
  if (random.chance(0.5)) {
    header.__metadata__ = {
      ...(random.chance(0.5) && { sha256: NO_SUM }),
      format: random.pick(['pt', 'pgpc-segmentor/1', 'pgpc-training/2']),
      config: '{"backbone":"mit_b0","head":"daformer","classes":3,"channels":12}',
      classes: '[{"name":"a","trainId":0,"labelId":0,"color":[1,2,3],"kind":"stuff"}]',
      input_size: '64x32',
      range: '0:255',
    };
  }
  let end = 0;
  for (let i = random.below(5); i > 0; i--) {
    const dtype = random.pick(Object.keys(SIZES));
    const shape = Array.from({ length: random.below(4) }, () => random.below(4));
    const bytes = shape.reduce((product, size) => product * size, SIZES[dtype]);
    const name = random.pick([
      'backbone.block1.0.norm1.weight',
      'decode_head.conv_seg.bias',
      'student.a',
      'x',
    ]);
    header[`${name}${i}`] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  return { header, data: random.bytes(end) };
}

function fileOf(random, { header, data }) {
  const pad = ' '.repeat(random.pick([0, 0, 0, 1, 7, 56]));
  const json = Buffer.from(jsonOf(random.chance(0.7) ? header : changeValue(random, header)) + pad);
  const text = random.chance(0.2) ? changeBytes(random, json, 3) : json;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(random.chance(0.95) ? text.length : random.pick(EDGES)));
  const cut = random.chance(0.1) ? data.subarray(0, random.below(data.length + 1)) : data;
  const more = random.chance(0.05) ? random.bytes(random.below(9)) : Buffer.alloc(0);
  const bytes = Buffer.concat([length, text, cut, more]);
  return random.chance(0.25) ? changeBytes(random, bytes, 3) : bytes;
}

/** Puts the checksum into a file that has a place for it. */
export function withSum(bytes) {
  const place = bytes.indexOf(`"sha256":"${NO_SUM}"`);
  if (place < 0) return bytes;
  const summed = Buffer.from(bytes);
  summed.write(createHash('sha256').update(bytes).digest('hex'), place + 10, 'latin1');
  return summed;
}

function make(random) {
  const whole = fileOf(random, valid(random));
  const file = random.chance(0.9) ? withSum(whole) : whole;
  if (!random.chance(0.1)) return new Map([['a.safetensors', file]]);
  const map = changeValue(random, {
    metadata: { total_size: 3 },
    weight_map: { x1: 'a.safetensors', x2: 'a.safetensors' },
  });
  const index = Buffer.from(jsonOf(map));
  return new Map([
    ['a.safetensors', file],
    ['a.safetensors.index.json', random.chance(0.2) ? changeBytes(random, index, 3) : index],
  ]);
}

/** All bytes of the tensors, so that none lies outside of the file. */
export function touch(tensors) {
  let sum = 0;
  for (const tensor of tensors.values()) {
    const values = tensor.toArray();
    if (ArrayBuffer.isView(values)) for (const byte of new Uint8Array(values.buffer)) sum = (sum + byte) | 0;
  }
  return sum;
}

async function read(folder, random, files) {
  const name = files.has('a.safetensors.index.json') ? 'a.safetensors.index.json' : 'a.safetensors';
  const file = join(folder, name);
  const weights = join(folder, 'a.safetensors');
  const hasSum = files.get('a.safetensors').includes('sha256');
  const sum = hasSum ? await judged('checkSafetensors', weights, () => checkSafetensors(weights)) : undefined;
  return tidy(async () => {
    const mmap = random.chance(0.5);
    const isOwn = name === 'a.safetensors' && random.chance(0.6);
    const own = isOwn && (await judged('loadSafetensors', file, () => loadSafetensors(file, { mmap })));
    if (!isOwn && random.chance(0.5)) {
      return (await judged('loadWeights', folder, () => loadWeights(file, { mmap }))) !== undefined;
    }
    if (own) {
      touch(own.tensors);
      compare(files.get(name), own, sum);
    }
    const index = isOwn ? undefined : await judged('indexWeights', folder, () => indexWeights(file));
    if (index) {
      await judged('findNetwork', folder, () =>
        inFile(folder, () => findNetwork([...index.entries.keys()], undefined)),
      );
      await judged('readAbout', file, () => readAbout(file, index.metadata));
    }
    return (own || index) !== undefined;
  });
}

/** These are told the file by who calls them. */
export function inFile(file, read) {
  try {
    return read();
  } catch (error) {
    if (error.constructor === Error) error.message = `${file}: ${error.message}`;
    throw error;
  }
}

/** Against the bytes, by the header as JSON has it. */
function compare(bytes, { tensors, metadata }, sum) {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  for (const [name, tensor] of tensors) {
    const { dtype, shape, data_offsets: offsets } = header[name];
    expectSame('loadSafetensors', 'shape', tensor.shape.join(), shape.join());
    if (dtype !== 'U8') continue;
    const slice = bytes.subarray(8 + length + offsets[0], 8 + length + offsets[1]);
    expectSame('loadSafetensors', 'bytes', Buffer.from(tensor.toArray()).equals(slice), true);
  }
  for (const [key, text] of Object.entries(metadata)) {
    expectSame(
      'loadSafetensors',
      'metadata',
      text,
      Object.getOwnPropertyDescriptor(header.__metadata__, key).value,
    );
  }
  const place = bytes.indexOf('"sha256":"');
  if (sum === true) {
    const zeroed = Buffer.from(bytes);
    zeroed.write(NO_SUM, place + 10, 'latin1');
    const digest = createHash('sha256').update(zeroed).digest('hex');
    expectSame('checkSafetensors', 'checksum', digest, bytes.toString('latin1', place + 10, place + 74));
  }
}

export const safetensors = { make, read };
