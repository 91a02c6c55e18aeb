// Random numbers that follow from a seed and a number alone, and the changes to bytes that any file can be given.

/** Xorshift of 32 bits: quick, and the same on every machine. */
export class Random {
  #state;

  constructor(seed, index) {
    let x = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    this.#state = (x ^ (x >>> 16)) >>> 0 || 1;
  }

  /** 0 .. 2^32 - 1 */
  next() {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** 0 .. n - 1 */
  below(n) {
    return this.next() % n;
  }

  /** low .. high */
  between(low, high) {
    return low + this.below(high - low + 1);
  }

  chance(share) {
    return this.next() < share * 2 ** 32;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  bytes(length) {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) bytes[i] = this.next() & 255;
    return bytes;
  }
}

/** Counts, sizes and offsets at which programs go wrong. */
export const EDGES = [
  0,
  1,
  2,
  3,
  7,
  8,
  15,
  16,
  31,
  32,
  63,
  64,
  127,
  128,
  254,
  255,
  256,
  257,
  1000,
  4095,
  4096,
  32767,
  32768,
  65535,
  65536,
  2 ** 20,
  2 ** 24,
  2 ** 26,
  2 ** 28,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** Numbers that JSON and YAML can hold, and a reader may not expect. */
export const ODD_NUMBERS = [...EDGES, -1, -0.5, 0.1, 1e-300, 1e308, -(2 ** 31), 2 ** 53, 2 ** 63, 1e21];

/** Changes one to `most` places of the bytes: flips, edges, parts that are cut out, doubled, moved or of another file. */
export function changeBytes(random, bytes, most = 6, other = bytes) {
  let changed = Buffer.from(bytes);
  for (let n = random.between(1, most); n > 0; n--) changed = changeOnce(random, changed, other);
  return changed;
}

function changeOnce(random, bytes, other) {
  if (bytes.length === 0) return random.bytes(random.below(16));
  const at = random.below(bytes.length);
  const length = Math.min(bytes.length - at, 1 + random.below(random.pick([2, 8, 64, 1024])));
  switch (random.below(10)) {
    case 0:
    case 1:
      bytes[at] ^= 1 << random.below(8);
      return bytes;
    case 2:
      bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
      return bytes;
    case 3:
    case 4: {
      const number = BigInt(random.pick(EDGES)) * (random.chance(0.1) ? 2n ** 31n : 1n);
      const size = Math.min(random.pick([2, 4, 8]), bytes.length - at);
      const wide = Buffer.alloc(8);
      if (random.chance(0.5)) {
        wide.writeBigUInt64LE(BigInt.asUintN(64, number));
        wide.copy(bytes, at, 0, size);
      } else {
        wide.writeBigUInt64BE(BigInt.asUintN(64, number));
        wide.copy(bytes, at, 8 - size);
      }
      return bytes;
    }
    case 5:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 6:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 7:
      return bytes.subarray(0, at);
    case 8:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(Math.min(length, 32)), bytes.subarray(at)]);
    default: {
      const from = random.below(Math.max(1, other.length));
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + length), bytes.subarray(at)]);
    }
  }
}
