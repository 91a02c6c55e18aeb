// From a network's logits to the class of every pixel of the picture, as `pgpc predict` finds it.

interface Size {
  readonly width: number;
  readonly height: number;
}

/** A map of class scores: (channels, height, width), by rows. */
export interface Scores extends Size {
  readonly data: Float32Array;
  readonly channels: number;
}

/** Where each place of a resized axis comes from: two neighbours, and the second's weight. */
interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly share: Float32Array;
}

/** Bilinear, with the ends, not the outer places' centres, on each other (`align_corners` false). */
function axis(from: number, to: number): Axis {
  const made: Axis = {
    low: new Int32Array(to),
    high: new Int32Array(to),
    share: new Float32Array(to),
  };
  const scale = from / to;
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, (i + 0.5) * scale - 0.5);
    const low = Math.min(Math.floor(at), from - 1);
    made.low[i] = low;
    made.high[i] = Math.min(low + 1, from - 1);
    made.share[i] = at - low;
  }
  return made;
}

/** `into[i]` is between `a[i]` and `b[i]`. */
function blend(a: Float32Array, b: Float32Array, share: number, into: Float32Array): void {
  for (let i = 0; i < into.length; i++) into[i] = a[i]! + (b[i]! - a[i]!) * share;
}

/**
 * The most likely class of every pixel. Scores are resized to the network's input and then to the picture, a row at a
 * time, and the largest wins; of several, the first.
 * @param input what entered the network. @param picture its size, which the labels have.
 */
export function largestClasses(scores: Scores, input: Size, picture: Size): Uint8Array<ArrayBuffer> {
  const { channels } = scores;
  const { width, height } = picture;
  const labels = new Uint8Array(width * height);
  const rowOfInput = inputRows(scores, input);
  const vertical = axis(input.height, height);
  const across = axis(scores.width, input.width);
  const wide = axis(input.width, width);
  const tall = new Float32Array(channels * scores.width);
  const line = new Float32Array(input.width);
  const best = new Float32Array(width);
  for (let y = 0; y < height; y++) {
    blend(rowOfInput(vertical.low[y]!), rowOfInput(vertical.high[y]!), vertical.share[y]!, tall);
    const out = labels.subarray(y * width, (y + 1) * width);
    best.fill(Number.NEGATIVE_INFINITY);
    for (let channel = 0; channel < channels; channel++) {
      const row = tall.subarray(channel * scores.width, (channel + 1) * scores.width);
      for (let x = 0; x < line.length; x++) {
        const low = row[across.low[x]!]!;
        line[x] = low + (row[across.high[x]!]! - low) * across.share[x]!;
      }
      for (let x = 0; x < width; x++) {
        const low = line[wide.low[x]!]!;
        const score = low + (line[wide.high[x]!]! - low) * wide.share[x]!;
        if (score > best[x]!) {
          best[x] = score;
          out[x] = channel;
        }
      }
    }
  }
  return labels;
}

/** Rows of the scores at the input's height and their own width, of all channels; the last two are kept. */
function inputRows({ data, channels, width, height }: Scores, input: Size): (row: number) => Float32Array {
  const vertical = axis(height, input.height);
  const kept = [0, 1].map(() => ({ row: -1, values: new Float32Array(channels * width) }));
  let next = 0;
  return (row) => {
    const known = kept.find((one) => one.row === row);
    if (known) {
      // The other one is given up first: rows are asked for in rising pairs.
      next = 1 - kept.indexOf(known);
      return known.values;
    }
    const slot = kept[next]!;
    next = 1 - next;
    slot.row = row;
    const [low, high, share] = [vertical.low[row]!, vertical.high[row]!, vertical.share[row]!];
    for (let channel = 0; channel < channels; channel++) {
      const at = (y: number) =>
        data.subarray((channel * height + y) * width, (channel * height + y + 1) * width);
      blend(at(low), at(high), share, slot.values.subarray(channel * width, (channel + 1) * width));
    }
    return slot.values;
  };
}

/** Scores of a part of the input. */
export interface WindowScores {
  readonly scores: Scores;
  /** Where the part begins. */
  readonly top: number;
  readonly left: number;
}

/**
 * From the scores of windows to scores at the input's size: each resized to its window, averaged where several see a pixel.
 * @param window the size of each. @param input what they cover.
 */
export function averagedWindows(parts: readonly WindowScores[], window: Size, input: Size): Scores {
  const { channels } = parts[0]!.scores;
  const { width, height } = input;
  const data = new Float32Array(channels * height * width);
  const seen = new Uint16Array(height * width);
  for (const { scores, top, left } of parts) {
    const rowOfWindow = inputRows(scores, window);
    const across = axis(scores.width, window.width);
    for (let y = 0; y < window.height; y++) {
      const rows = rowOfWindow(y);
      const start = (top + y) * width + left;
      for (let x = 0; x < window.width; x++) seen[start + x]!++;
      for (let channel = 0; channel < channels; channel++) {
        const row = rows.subarray(channel * scores.width, (channel + 1) * scores.width);
        const at = channel * height * width + start;
        for (let x = 0; x < window.width; x++) {
          const low = row[across.low[x]!]!;
          data[at + x]! += low + (row[across.high[x]!]! - low) * across.share[x]!;
        }
      }
    }
  }
  for (let channel = 0, i = 0; channel < channels; channel++) {
    for (const count of seen) data[i++]! /= count;
  }
  return { data, channels, width, height };
}
