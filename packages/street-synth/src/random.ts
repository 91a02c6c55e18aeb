// Seeded random numbers: the only source of chance in the rendered scenes.

/**
 * The generator sfc32 (C. Doty-Humphrey, PractRand), seeded by a hash of named parts. The same parts give the
 * same sequence on every machine: all arithmetic is on 32-bit integers.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** @param parts what the sequence is for, such as (seed, 'source', 'train', 17) */
  constructor(...parts: readonly (string | number)[]) {
    const text = parts.join('/');
    this.a = hash(text, 0x9e3779b9);
    this.b = hash(text, 0x85ebca6b);
    this.c = hash(text, 0xc2b2ae35);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [low, high). */
  range(low: number, high: number): number {
    return low + (high - low) * (this.uint32() / 4294967296);
  }

  /** A whole number in [low, high], both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.range(0, high - low + 1));
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.range(0, 1) < probability;
  }

  /** -1 or 1. */
  sign(): -1 | 1 {
    return this.chance(0.5) ? 1 : -1;
  }

  /** One of the items, each as likely. */
  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)]!;
  }

  /** One of the keys, as likely as its weight is of the sum. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const keys = Object.keys(weights) as K[];
    let left = this.range(
      0,
      keys.reduce((sum, key) => sum + weights[key], 0),
    );
    for (const key of keys) {
      left -= weights[key];
      if (left < 0) return key;
    }
    return keys[keys.length - 1]!;
  }
}

/** Mixes a string into 32 bits (FNV-1a steps with a final avalanche). */
function hash(text: string, basis: number): number {
  let h = basis | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h);
}

function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

/** A fixed pseudo-random number in [0, 1) for a cell of an integer grid. */
export function cellNoise(x: number, y: number, salt: number): number {
  return (
    (mix(Math.imul(x, 0x1f123bb5) ^ Math.imul(y, 0x5f356495) ^ Math.imul(salt, 0x6c8e9cf5)) >>> 0) /
    4294967296
  );
}
