// Numbers of more than eight bits as bytes: the one rule by which images of sensors, thermal cameras and floats are read.

/** Stored numbers that are shown black and white: what lies between becomes 0..255, what lies outside is cut off. */
export type ValueRange = readonly [low: number, high: number];

/** Samples of an image, as they are stored. */
export type WideSamples = Uint16Array | Float64Array;

/** Of 256 grey values: an image that stays below, or spans fewer than half as many, was stored in another range. */
const DARK = 64;

/** Ends of the scales of common sensors and formats. */
const COMMON_ENDS = [1, 255, 1023, 4095, 16_383, 65_535];

/**
 * The bytes of an image. 16-bit numbers are of the scale 0..65535, floats of 0..1, unless `range` says otherwise.
 * @param depth as libvips names it: 'ushort', 'float', 'int', ...
 * @throws Error where no range is given and that scale makes the image almost black or flat, or there is no scale
 */
export function toBytes(samples: WideSamples, depth: string, range: ValueRange | undefined): Uint8Array {
  return scaled(samples, range ?? rangeOf(samples, depth));
}

function rangeOf(samples: WideSamples, depth: string): ValueRange {
  const { low, high, odd } = extremes(samples);
  const top = depth === 'ushort' ? 65_535 : depth === 'float' || depth === 'double' ? 1 : undefined;
  const stored = `${kindOf(depth)} with values from ${short(low)} to ${short(high)}`;
  const advice = `say which are black and white: --range LOW:HIGH, perhaps ${suggested(low, high)} (in training --source-range or --target-range)`;
  const refuse = (why: string) => new Error(`${stored}${why}; ${advice}`);
  if (odd > 0) throw refuse(`, and ${odd} that are no numbers`);
  if (top === undefined) throw refuse(', a form without a scale of its own');
  if (low < 0 || high > top) throw refuse(`, not from 0 to ${top}`);
  const grey = (256 / top) * (high - low);
  if (low < high && high < (DARK * top) / 256) {
    throw refuse(`: on the scale of 0 to ${top} it would be read as (almost) black`);
  }
  if (low < high && grey < DARK / 2) {
    throw refuse(`: on the scale of 0 to ${top} it would be read as ${Math.ceil(grey)} grey values of 256`);
  }
  return [0, top];
}

function extremes(samples: WideSamples): { low: number; high: number; odd: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let odd = 0;
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i]!;
    if (!Number.isFinite(value)) {
      odd++;
      continue;
    }
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high, odd };
}

function kindOf(depth: string): string {
  if (depth === 'float' || depth === 'double') return 'an image of floats';
  const bits: Record<string, string> = { ushort: '16-bit', short: 'signed 16-bit', char: 'signed 8-bit' };
  return `a ${bits[depth] ?? '32-bit'} image`;
}

/** The end of a common scale where the values begin near 0, else the values' own bounds. */
function suggested(low: number, high: number): string {
  const end = COMMON_ENDS.find((end) => end >= high);
  const onScale = low >= 0 && low <= high / 4 && end !== undefined;
  return onScale ? `0:${end}` : `${short(low)}:${short(high)}`;
}

const short = (value: number) => String(Number(value.toPrecision(6)));

function scaled(samples: WideSamples, [low, high]: ValueRange): Uint8Array {
  const factor = 255 / (high - low);
  // Clamps and rounds; what is no number becomes 0.
  const bytes = new Uint8ClampedArray(samples.length);
  for (let i = 0; i < samples.length; i++) bytes[i] = (samples[i]! - low) * factor;
  return new Uint8Array(bytes.buffer);
}

/** Whether more than half of the samples are beyond a range, where nothing is told apart. */
export function isMostlyOutside(samples: WideSamples, [low, high]: ValueRange): boolean {
  let outside = 0;
  for (let i = 0; i < samples.length; i++) if (!(samples[i]! >= low && samples[i]! <= high)) outside++;
  return 2 * outside > samples.length;
}
