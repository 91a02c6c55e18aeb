// .pth files that are written: they come back as they were, and PyTorch reads them.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { arange, type DType, liveTensors, ops, Tensor, tensor, tidy, zeros } from '../../src/index.js';
import {
  loadPth,
  loadWeights,
  type Picklable,
  savePth,
  WeightsFileError,
} from '../../src/serialize/index.js';

const folder = mkdtempSync(join(tmpdir(), 'save-pth-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'file.pth');

const DTYPES: readonly DType[] = [
  ...(['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16'] as const),
  ...(['int8', 'uint8', 'bool'] as const),
];

/** A checkpoint with every dtype and kind of value. In a tidy scope. */
function checkpoint() {
  const typed = DTYPES.map((dtype) => {
    const values = tensor([
      [0, 1, 2],
      [100, 5, 0],
    ]);
    return [`typed.${dtype}`, values.to({ dtype })] as const;
  });
  const base = arange(12).to({ dtype: 'float32' }).view([3, 4]);
  const state_dict = new Map<string, Tensor>([
    ...typed,
    ['base', base],
    ['again', base],
    ['transposed', base.t()],
    ['scalar', tensor(7)],
    ['empty', zeros([0, 5])],
  ]);
  const meta = {
    CLASSES: ['road', 'Gehweg für alle'],
    PALETTE: [[128, 64, 128], []],
    ints: [0, -1, 255, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER],
    none: null,
    yes: true,
    no: false,
  };
  return { state_dict, meta };
}

/** The same in the form of `tagged` below and of the script that asks PyTorch. */
function tagged(value: unknown): unknown {
  if (value instanceof Tensor) {
    return { dtype: value.dtype, shape: value.shape, values: [...value.toArray()].map(Number) };
  }
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value !== 'object' || value === null) return value;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries.map(([key, item]) => [key, tagged(item)]);
}

describe('savePth', () => {
  it('writes what comes back: dtypes, shapes, names in order, values; a tensor that is there twice once', () => {
    const live = liveTensors();
    tidy(() => {
      const given = checkpoint();
      savePth(path, given);
      expect(tagged(loadPth(path))).toEqual(tagged(given));
      const { tensors } = loadWeights(path);
      tensors.get('base')!.fill_(-1);
      expect(tensors.get('again')!.tolist()).toEqual(tensors.get('base')!.tolist());
      expect(tensors.get('transposed')!.tolist()).toEqual(given.state_dict.get('transposed')!.tolist());
    });
    expect(liveTensors()).toBe(live);
  });

  it('writes any tree of plain data', () => {
    const leaf = fc.oneof(fc.constant(null), fc.boolean(), fc.maxSafeInteger(), fc.double(), fc.string());
    const { tree } = fc.letrec<{ tree: Picklable }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 4 }),
        fc
          .dictionary(fc.string(), tie('tree'), { maxKeys: 4 })
          .map((entries) => new Map(Object.entries(entries))),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        savePth(path, value);
        expect(tagged(loadPth(path))).toEqual(tagged(value));
      }),
      { numRuns: 50 },
    );
  });

  it('writes an archive that unpacks without a complaint, each storage at a multiple of 64 bytes', () => {
    tidy(() => savePth(path, checkpoint()));
    const file = readFileSync(path);
    const names = [];
    // Members lie one after the other.
    for (let at = 0; file.readUInt32LE(at) === 0x04034b50; ) {
      const [crc, size] = [file.readUInt32LE(at + 14), file.readUInt32LE(at + 22)];
      const nameEnd = at + 30 + file.readUInt16LE(at + 26);
      const start = nameEnd + file.readUInt16LE(at + 28);
      expect(start % 64).toBe(0);
      expect(slowCrc(file.subarray(start, start + size))).toBe(crc);
      names.push(file.toString('latin1', at + 30, nameEnd));
      at = start + size;
    }
    const storages = Array.from({ length: DTYPES.length + 4 }, (_, i) => `archive/data/${i}`);
    expect(names).toEqual(['archive/data.pkl', 'archive/byteorder', ...storages, 'archive/version']);
  });

  it('writes these bytes, which PyTorch 1.13.1 and 2.13 read with weights_only', () => {
    tidy(() => savePth(path, checkpoint()));
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
    expect(digest).toBe('7a588812d31a913fb66fe75f15a147c09efdcbef7b8ee5a82e528a0cea87b36e');
  });

  it('refuses what is no data and dtypes without a storage, says where, and leaves the old file', () => {
    writeFileSync(path, 'old');
    const refused = (value: unknown, message: string) => {
      const attempt = () => savePth(path, value as Picklable);
      expect(attempt).toThrow(WeightsFileError);
      expect(attempt).toThrow(`${path}: ${message}`);
    };
    refused({ meta: { when: new Date(0) } }, '"meta.when" is ');
    refused({ meta: [1, undefined] }, '"meta.1" is undefined, which a .pth cannot hold');
    tidy(() => {
      const wave = ops.complex(zeros([2]), zeros([2]));
      refused({ state_dict: new Map([['wave', wave]]) }, '"state_dict.wave": torch.save has no storage of');
      // It seems to have 8 GiB.
      refused({ wide: zeros([1]).expand([2 ** 31]) }, '4 members of ');
    });
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['file.pth']);
  });
});

function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  return ~crc >>> 0;
}

const python = process.env.PYTHON ?? 'python3';
const hasTorch = spawnSync(python, ['-c', 'import torch']).status === 0;

it.runIf(hasTorch)('PyTorch reads the same with weights_only', () => {
  const script = `
import json, sys, torch
def tagged(value):
    if isinstance(value, torch.Tensor):
        return {"dtype": str(value.dtype)[6:], "shape": list(value.shape), "values": value.flatten().double().tolist()}
    if isinstance(value, dict):
        return [[key, tagged(item)] for key, item in value.items()]
    return [tagged(item) for item in value] if isinstance(value, list) else value
print(json.dumps(tagged(torch.load(sys.argv[1], weights_only=True))))`;
  tidy(() => {
    savePth(path, checkpoint());
    const said = execFileSync(python, ['-c', script, path], { encoding: 'utf8' });
    expect(JSON.parse(said)).toEqual(tagged(checkpoint()));
  });
});
