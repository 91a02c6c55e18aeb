// Seeded random numbers for choices made in JavaScript (which image, which crop), with a state that can be saved.

export type RngState = readonly [number, number, number, number];

/** sfc32 (Doty-Humphrey), a small fast generator of 128 bits of state that passes PractRand. */
export class Rng {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  /** @param seed whole number; @param purpose keeps generators of one seed apart. */
  constructor(seed: number, purpose: string) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = [...purpose].reduce(
      (hash, char) => Math.imul(hash ^ char.charCodeAt(0), 0x01000193),
      0x811c9dc5,
    );
    this.#counter = 1;
    for (let i = 0; i < 15; i++) this.next();
  }

  /** Uniform on [0, 1), 32 bits. */
  next(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return (t >>> 0) / 2 ** 32;
  }

  uniform(min: number, max: number): number {
    return min + (max - min) * this.next();
  }

  /** Whole number from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** A copy in random order (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }

  /** The state of a generator of its own, seeded from the next numbers of this one. */
  fork(): RngState {
    const word = () => Math.floor(this.next() * 2 ** 32) | 0;
    const child = new Rng(0, '');
    child.setState([word(), word(), word(), 1]);
    for (let i = 0; i < 15; i++) child.next();
    return child.getState();
  }

  getState(): RngState {
    return [this.#a, this.#b, this.#c, this.#counter];
  }

  setState([a, b, c, counter]: RngState): void {
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }
}

/** A seed for a generator on the device: generators of one seed and different purposes draw different numbers. */
export function seedFor(seed: number, purpose: string): number {
  return new Rng(seed, purpose).below(2 ** 32);
}
