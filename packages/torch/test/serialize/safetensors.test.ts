// safetensors: what is written comes back, and what is damaged is refused by name.
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type DType,
  fromTypedArray,
  liveTensors,
  memory,
  ops,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from '../../src/index.js';
import {
  checkSafetensors,
  loadSafetensors,
  loadWeights,
  saveSafetensors,
  WeightsFileError,
} from '../../src/serialize/index.js';

const folder = mkdtempSync(join(tmpdir(), 'safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'weights.safetensors');

const dtypes: DType[] = [
  'float64',
  'float32',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
];

/** The raw bytes of a tensor, so that NaN payloads and signed zeros count. */
function bytesOf(value: Tensor): number[] {
  return tidy(() => [...Buffer.from((value.reshape([-1]).view('uint8').toArray() as Uint8Array).buffer)]);
}

function contents(tensors: Map<string, Tensor>): [string, DType, readonly number[], number[]][] {
  return [...tensors].map(([name, value]) => [name, value.dtype, value.shape, bytesOf(value)]);
}

const itemSizes: Record<DType, number> = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  float16: 2,
  bfloat16: 2,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** Any dtype, 0 to 4 dimensions, random bytes. */
const anyTensor = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    seed: fc.infiniteStream(fc.nat(255)),
  })
  .map(({ dtype, shape, seed }) => {
    const numel = shape.reduce((product, size) => product * size, 1);
    const bytes = Uint8Array.from({ length: numel * itemSizes[dtype] }, () => {
      const byte = seed.next().value as number;
      return dtype === 'bool' ? byte & 1 : byte;
    });
    return () => fromTypedArray(bytes, shape, { dtype });
  });

const anyName = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('1', '0', 'a.b.c', '__proto__', 'constructor', '"', '\\"{'),
  )
  .filter((name) => name !== '__metadata__');

const anyMetadata = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), {
  maxKeys: 4,
});

describe('round trip', () => {
  it('gives back names in order, dtypes, shapes, bytes and metadata', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 }),
        anyMetadata,
        fc.boolean(),
        (items, metadata, mmap) => {
          tidy(() => {
            const given = new Map(items.map(([name, make]) => [name, make()]));
            saveSafetensors(path, given, metadata);
            const loaded = loadSafetensors(path, { mmap });
            expect(contents(loaded.tensors)).toEqual(contents(given));
            expect(Object.entries(loaded.metadata).sort()).toEqual(Object.entries(metadata).sort());
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  it('writes views in full and takes a record', () => {
    tidy(() => {
      const base = tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]);
      saveSafetensors(path, { transposed: base.t(), column: base.select(1, 1) });
      const { tensors } = loadWeights(path);
      expect(tensors.get('transposed')!.tolist()).toEqual([
        [1, 4],
        [2, 5],
        [3, 6],
      ]);
      expect(tensors.get('column')!.tolist()).toEqual([2, 5]);
    });
  });

  it('saves a parameter without touching its gradient flag', () => {
    tidy(() => {
      const weight = tensor([1, 2], { requiresGrad: true });
      saveSafetensors(path, { weight });
      expect(weight.requiresGrad).toBe(true);
      expect(loadSafetensors(path).tensors.get('weight')!.requiresGrad).toBe(false);
    });
  });

  it('writes what is larger than one chunk', () => {
    tidy(() => {
      const big = ops.arange(700_000, { dtype: 'float32' });
      // Each of more than a chunk, and of no whole number of them.
      const all = { big, strided: big.view([700, 1000]).t(), half: big.to('float16') };
      saveSafetensors(path, all, {}, { checksum: true });
      const { tensors } = loadSafetensors(path);
      for (const [name, value] of Object.entries(all)) expect(tensors.get(name)!.equal(value)).toBe(true);
      expect(checkSafetensors(path)).toBe(true);
    });
  });
});

describe('the official library', () => {
  it('wrote a file that is read exactly', () => {
    tidy(() => {
      const { tensors, metadata } = loadSafetensors(
        new URL('../reference/safetensors-official.safetensors', import.meta.url).pathname,
      );
      expect({ ...metadata }).toEqual({ format: 'np' });
      const all = [...tensors].map(([name, value]) => [name, value.dtype, value.shape, value.tolist()]);
      expect(all.sort()).toEqual([
        ['bool', 'bool', [3], [true, false, true]],
        ['empty', 'float32', [0, 3], []],
        ['float16', 'float16', [2], [1.5, -2]],
        [
          'float32',
          'float32',
          [2, 3],
          [
            [0, 0.25, 0.5],
            [0.75, 1, 1.25],
          ],
        ],
        ['int16', 'int16', [1], [-300]],
        ['int32', 'int32', [1, 1], [[1073741824]]],
        ['int64', 'int64', [2], [-(2 ** 40), 7]],
        ['int8', 'int8', [1], [-1]],
        ['n\u00e4"me\\', 'float32', [2], [1, 1]],
        ['scalar', 'float64', [], 3.25],
        ['uint8', 'uint8', [3], [0, 1, 2]],
      ]);
    });
  });
});

describe('the layout on disk', () => {
  it('starts the data at a multiple of 64, wide elements first, the header in the order given', () => {
    tidy(() => {
      saveSafetensors(path, {
        c: zeros([3], { dtype: 'uint8' }),
        b: zeros([2]),
        a: zeros([1], { dtype: 'float64' }),
      });
    });
    const file = readFileSync(path);
    const length = Number(file.readBigUInt64LE());
    expect((8 + length) % 64).toBe(0);
    const text = file.subarray(8, 8 + length).toString();
    expect(text.trimEnd()).toBe(
      '{"c":{"dtype":"U8","shape":[3],"data_offsets":[16,19]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}',
    );
    expect(file.length).toBe(8 + length + 19);
  });
});

describe('mapping', () => {
  it('leaves the file alone when a tensor is written to, and the tensor when the file is replaced', () => {
    tidy(() => {
      saveSafetensors(path, { x: tensor([1, 2, 3]) });
      const before = readFileSync(path);
      const x = loadSafetensors(path).tensors.get('x')!;
      x.add_(10);
      expect(readFileSync(path).equals(before)).toBe(true);
      saveSafetensors(path, { x: tensor([7]) });
      expect(x.tolist()).toEqual([11, 12, 13]);
      expect(loadSafetensors(path).tensors.get('x')!.tolist()).toEqual([7]);
    });
  });

  it('makes one storage of the file, or one a tensor without mapping', () => {
    tidy(() => saveSafetensors(path, { x: zeros([4]), y: zeros([4]) }));
    const storageBytes = (mmap: boolean) => {
      const before = memory().bytes;
      const { tensors } = loadSafetensors(path, { mmap });
      const after = memory().bytes;
      for (const value of tensors.values()) value.dispose();
      return after - before;
    };
    expect(storageBytes(true)).toBe(statSync(path).size);
    expect(storageBytes(false)).toBe(32);
  });

  it('keeps only the tensors that it returns', () => {
    saveSafetensors(path, { x: tensor([1]), y: tensor([true]) });
    const before = liveTensors();
    const { tensors } = loadSafetensors(path);
    expect(liveTensors()).toBe(before + 2);
    for (const value of tensors.values()) value.dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe('saving', () => {
  it('refuses the reserved name and metadata that is no text, and leaves no file behind', () => {
    const target = join(folder, 'none.safetensors');
    const x = tensor([1]);
    expect(() => saveSafetensors(target, { __metadata__: x })).toThrow(/__metadata__ is reserved/);
    expect(() => saveSafetensors(target, { x }, { epoch: 3 } as never)).toThrow(
      /metadata "epoch" must be a text/,
    );
    expect(readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([]);
    x.dispose();
  });

  it('keeps the old file whole when writing fails midway', () => {
    const x = tensor([1, 2]);
    saveSafetensors(path, { x });
    const before = readFileSync(path);
    // Its shape can be read for the header, then its elements cannot be.
    const broken = ops.empty([1], { device: 'meta' });
    const entries = new Map([
      ['x', x],
      ['broken', broken],
    ]);
    expect(() => saveSafetensors(path, entries)).toThrow(/meta/);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    x.dispose();
    broken.dispose();
  });
});

describe('checksums', () => {
  const save = (metadata: Record<string, string> = {}) => {
    const [x, y] = [tensor([1, 2, 3]), tensor([true, false])];
    saveSafetensors(path, { x, y }, metadata, { checksum: true });
    x.dispose();
    y.dispose();
  };

  it('is SHA-256 of the file with zeros in its own place, and the file reads as any other', () => {
    save({ 0: 'first of any object', text: 'ä"' });
    const bytes = readFileSync(path);
    const { tensors, metadata } = loadSafetensors(path);
    expect({ ...metadata }).toEqual({ 0: 'first of any object', text: 'ä"', sha256: metadata.sha256 });
    expect(tensors.get('x')!.toArray()).toEqual(Float32Array.of(1, 2, 3));
    for (const one of tensors.values()) one.dispose();
    const blank = Buffer.from(bytes.toString('latin1').replace(metadata.sha256!, '0'.repeat(64)), 'latin1');
    expect(metadata.sha256).toBe(createHash('sha256').update(blank).digest('hex'));
    expect(checkSafetensors(path)).toBe(true);
  });

  it('tells any flipped bit, and any cut', () => {
    save();
    const bytes = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const damaged = Buffer.from(bytes);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        writeFileSync(path, damaged);
        // In what marks the checksum's place, there seems to be none.
        expect(checkSafetensors(path)).not.toBe(true);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (length) => {
        writeFileSync(path, bytes.subarray(0, length));
        expect(checkSafetensors(path)).not.toBe(true);
      }),
    );
  });

  it('has none where none was asked for, and its name is then free', () => {
    const x = tensor([1]);
    saveSafetensors(path, { x }, { sha256: 'a text of its own' });
    expect(checkSafetensors(path)).toBeUndefined();
    expect(loadSafetensors(path).metadata.sha256).toBe('a text of its own');
    expect(() => saveSafetensors(path, { x }, { sha256: '' }, { checksum: true })).toThrow(
      'the text sha256 is the checksum',
    );
    x.dispose();
  });

  it('covers files of more than one piece', () => {
    const x = zeros([3_000_000]);
    saveSafetensors(path, { x }, {}, { checksum: true });
    expect(checkSafetensors(path)).toBe(true);
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.of(1), 0, 1, 9_000_000);
    closeSync(fd);
    expect(checkSafetensors(path)).toBe(false);
    x.dispose();
  });
});

/** A file of a header (text or bytes) and data. */
function write(header: string | Uint8Array, dataBytes: number, claimed?: bigint): void {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
}

const f32 = (start: number, end: number, shape = [(end - start) / 4]) =>
  `{"dtype":"F32","shape":${JSON.stringify(shape)},"data_offsets":[${start},${end}]}`;

describe('damaged headers', () => {
  it.each<[string, string | Uint8Array, number, RegExp, bigint?]>([
    [
      'nested without end',
      `{"a":${'['.repeat(1_000_000)}`,
      0,
      /header has lists or objects deeper than 3 levels/,
    ],
    ['of too many parts', `{"a":[${'0,'.repeat(1_000_000)}0]}`, 0, /header has more than 1000000 parts/],
    ['with a text that does not end', '{"a', 0, /header is not JSON/],
    ['too long', '{}', 0, /a header of 100000001 bytes is over/, 100_000_001n],
    ['of 2^64 bytes', '{}', 0, /over the format's/, 0xffff_ffff_ffff_ffffn],
    ['past the end', '{}', 0, /ends at byte 11, past the file's 10: truncated/, 3n],
    ['not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 0, /not UTF-8/],
    ['not an object', '[1]', 0, /does not start with \{/],
    ['not JSON', '{"a":', 0, /not JSON/],
    [
      'with an unknown dtype',
      '{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
      4,
      /tensor "a": dtype "F99"/,
    ],
    ['without a dtype', '{"a":{"shape":[1],"data_offsets":[0,4]}}', 4, /tensor "a": dtype "undefined"/],
    ['with an entry that is no object', '{"a":"F32"}', 0, /tensor "a": its entry/],
    ['with a null entry', '{"a":null}', 0, /tensor "a": its entry/],
    ['with a negative size', `{"a":${f32(0, 4, [-1])}}`, 4, /tensor "a": its shape/],
    ['with a fractional size', `{"a":${f32(0, 6, [1.5])}}`, 6, /tensor "a": its shape/],
    ['with a size beyond counting', `{"a":${f32(0, 0, [0, 2 ** 52, 2 ** 52])}}`, 0, /tensor "a": its shape/],
    ['with 65 dimensions', `{"a":${f32(0, 4, new Array(65).fill(1))}}`, 4, /tensor "a": its shape/],
    [
      'with one offset',
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}',
      4,
      /tensor "a": its data_offsets/,
    ],
    [
      'with offsets that do not fit',
      `{"a":${f32(0, 8, [3])}}`,
      8,
      /shape \[3\] of F32 needs 12 bytes.*hold 8/,
    ],
    ['with reversed offsets', `{"a":${f32(8, 4, [1])}}`, 8, /hold -4/],
    ['with an overlap', `{"a":${f32(0, 8)},"b":${f32(4, 12)}}`, 12, /tensor "b".*inside of the one before/],
    [
      'with one range twice',
      `{"a":${f32(0, 4)},"b":${f32(0, 4)}}`,
      4,
      /tensor "b".*inside of the one before/,
    ],
    ['with a gap', `{"a":${f32(0, 4)},"b":${f32(8, 12)}}`, 12, /tensor "b".*leaves a gap from 4/],
    ['with too little data', `{"a":${f32(0, 8)}}`, 7, /need 8 bytes of data and the file has 7/],
    ['with too much data', `{"a":${f32(0, 8)}}`, 9, /1 bytes follow the last tensor/],
    ['with a name twice', `{"a":${f32(0, 4)},"a":${f32(0, 4)}}`, 4, /names "a" twice/],
    ['with a name twice, once escaped', `{"a":${f32(0, 4)},"\\u0061":${f32(0, 4)}}`, 4, /names "a" twice/],
    ['with metadata that is no object', '{"__metadata__":[]}', 0, /__metadata__ is not an object/],
    ['with metadata that is no text', '{"__metadata__":{"a":1}}', 0, /__metadata__: "a" is not a text/],
  ])('%s', (_, header, dataBytes, message, claimed) => {
    write(header, dataBytes, claimed);
    const before = liveTensors();
    expect(() => loadSafetensors(path)).toThrow(WeightsFileError);
    expect(() => loadSafetensors(path)).toThrow(message);
    expect(() => loadSafetensors(path)).toThrow(path);
    expect(liveTensors()).toBe(before);
  });

  it('accepts offsets as large as in real files', () => {
    const length = 120_000_000;
    const header = ['a', 'b'].map((name, i) => {
      const offsets = [i * length, (i + 1) * length];
      return `"${name}":${JSON.stringify({ dtype: 'U8', shape: [length], data_offsets: offsets })}`;
    });
    write(`{${header.join(',')}}`, 0);
    const dataStart = statSync(path).size;
    // The data is a hole in the file, which takes no space on disk and reads as zeros.
    truncateSync(path, dataStart + 2 * length);
    tidy(() => {
      const { tensors } = loadSafetensors(path);
      expect(tensors.get('b')!.shape).toEqual([length]);
      expect(
        tensors
          .get('b')!
          .narrow(0, length - 2, 2)
          .tolist(),
      ).toEqual([0, 0]);
    });
  });

  it('reads names that look like structure', () => {
    write(`{ "a\\"{[" :${f32(0, 4)}, "b\\\\" : ${f32(4, 8)} }   `, 8);
    tidy(() => expect([...loadSafetensors(path).tensors.keys()]).toEqual(['a"{[', 'b\\']));
  });

  it('fails with a WeightsFileError or loads, whatever bytes change, and always fails when cut', () => {
    tidy(() => saveSafetensors(path, { ab: tensor([1, 2]), c: tensor([true]) }, { epoch: '3' }));
    const whole = readFileSync(path);
    const before = liveTensors();
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect(() => loadWeights(path), `cut to ${length}`).toThrow(WeightsFileError);
    }
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const damaged = Buffer.from(whole);
          for (const [at, byte] of changes) damaged[at] = byte;
          writeFileSync(path, damaged);
          try {
            tidy(() => {
              for (const value of loadSafetensors(path).tensors.values()) value.toArray();
            });
          } catch (error) {
            expect(error).toBeInstanceOf(WeightsFileError);
          }
        },
      ),
      { numRuns: 1000 },
    );
    expect(liveTensors()).toBe(before);
  });
});

describe('other files', () => {
  it.each([
    ['version https://git-lfs.github.com/spec/v1\noid sha256:00\n', /Git LFS pointer/],
    ['<!DOCTYPE html><html></html>', /a web page/],
    ['', /an empty file/],
    ['\x80', /ends at 1: truncated/],
    ['PK\x03\x04', /truncated/],
  ])('%j is refused by what it is', (text, message) => {
    writeFileSync(path, text, 'latin1');
    expect(() => loadWeights(path)).toThrow(WeightsFileError);
    expect(() => loadWeights(path)).toThrow(message);
  });

  it('names a file that is missing or a folder', () => {
    expect(() => loadWeights(join(folder, 'missing'))).toThrow(/missing: cannot be opened/);
    expect(() => loadWeights(folder)).toThrow(/not a regular file/);
  });
});
