// Computes beside the page, which stays answerable: pictures to network inputs, networks, logits to classes.

import type * as Resize from '@pgpc/datasets/resize';
import type * as Ort from 'onnxruntime-web/webgpu';
import type { TriedDescription } from '../../src/try/protocol.js';
import type { Box, windowBoxes as WindowBoxes } from '../../src/windows.js';
import { averagedWindows, largestClasses, type Scores } from './classes.js';
import type { FromWorker, ToWorker } from './messages.js';

interface Size {
  readonly width: number;
  readonly height: number;
}

interface Loaded extends Modules {
  readonly description: TriedDescription;
  readonly sessions: readonly Ort.InferenceSession[];
  /** The one size that the files are for; undefined: any. */
  readonly fixed: Size | undefined;
  /** By channel, what enters the network for each of the 256 levels. */
  readonly levels: readonly Float32Array[];
}

const INPUT = 'pixel_values';
const OUTPUT = 'logits';

/** Each has a build of its own: the one for WebGPU is twice as large, and slower on a CPU. */
type Provider = 'webgpu' | 'wasm';

/** What comes from other packages. */
interface Modules {
  readonly ort: typeof Ort;
  readonly resize: typeof Resize;
  readonly windowBoxes: typeof WindowBoxes;
}

/** Sides of the picture by which a device is tried out. */
const PROBE = 64;

const tell = (message: FromWorker, transfer: Transferable[] = []) => postMessage(message, { transfer });

let loaded: Loaded | undefined;

addEventListener('message', async ({ data }: MessageEvent<ToWorker>) => {
  try {
    if (data.kind === 'load') await load(data.description);
    else await segment(data.picture);
  } catch (error) {
    tell({ kind: 'failed', message: messageOf(error) });
  }
});

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * By their addresses, as workers have no import maps. Not at the top of the file: messages that come before it is run to its
 * end would be lost.
 */
async function imported(provider: Provider): Promise<Modules> {
  const ort = (await import(`/ort/ort.${provider}.min.mjs`)) as typeof Ort;
  const resize = (await import('/resize.js' as string)) as typeof Resize;
  const { windowBoxes } = (await import('/windows.js' as string)) as { windowBoxes: typeof WindowBoxes };
  ort.env.wasm.wasmPaths = '/ort/';
  ort.env.logLevel = 'error';
  return { ort, resize, windowBoxes };
}

async function load(description: TriedDescription): Promise<void> {
  const networks = description.networks.filter((network) => network !== undefined);
  const files = await Promise.all(networks.map(({ address }) => fetched(address)));
  const gpu = await hasGpu();
  let fallback: string | undefined;
  if (gpu) {
    try {
      loaded = await started('webgpu', description, files);
    } catch (error) {
      fallback = messageOf(error);
    }
  }
  const onGpu = loaded !== undefined;
  loaded ??= await started('wasm', description, files);
  const threads = crossOriginIsolated ? loaded.ort.env.wasm.numThreads || 1 : 1;
  tell({
    kind: 'ready',
    device: onGpu ? 'WebGPU' : `wasm, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    fallback,
  });
}

async function fetched(address: string): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(await response.text());
  return new Uint8Array(await response.arrayBuffer());
}

/** Whether there is a GPU; a software's imitation of one is slower than wasm. */
async function hasGpu(): Promise<boolean> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  const adapter = await gpu?.requestAdapter();
  return adapter !== undefined && adapter !== null && adapter.info?.isFallbackAdapter !== true;
}

interface Adapter {
  readonly info?: { readonly isFallbackAdapter?: boolean };
}

/** Makes the sessions, and runs each once: some operators fail only then. */
async function started(
  provider: Provider,
  description: TriedDescription,
  files: readonly Uint8Array[],
): Promise<Loaded> {
  const modules = await imported(provider);
  const { ort } = modules;
  const sessions = [];
  for (const file of files) {
    sessions.push(await ort.InferenceSession.create(file, { executionProviders: [provider] }));
  }
  const fixed = fixedSize(sessions[0]!);
  const { width, height } = fixed ?? { width: PROBE, height: PROBE };
  for (const session of sessions) {
    const probe = new ort.Tensor('float32', new Float32Array(3 * width * height), [1, 3, height, width]);
    const outputs = await session.run({ [INPUT]: probe });
    for (const output of Object.values(outputs)) output.dispose();
  }
  return { ...modules, description, sessions, fixed, levels: levelsOf(description.normalisation) };
}

function fixedSize({ inputMetadata }: Ort.InferenceSession): Size | undefined {
  const [input] = inputMetadata;
  const [height, width] = input?.isTensor ? input.shape.slice(2) : [];
  return typeof width === 'number' && typeof height === 'number' ? { width, height } : undefined;
}

function levelsOf(normalisation: TriedDescription['normalisation']): Float32Array[] {
  const bytes = Array.from({ length: 256 }, (_, level) => level);
  return [0, 1, 2].map((channel) =>
    Float32Array.from(bytes, (level) =>
      normalisation === undefined
        ? level
        : (level / 255 - normalisation.mean[channel]!) / normalisation.std[channel]!,
    ),
  );
}

async function segment(picture: ImageBitmap): Promise<void> {
  if (loaded === undefined) throw new Error('the networks are not loaded');
  const { resize } = loaded;
  const started = performance.now();
  const { width, height } = picture;
  const image = pixelsOf(picture);
  const input = inputSize(image, loaded);
  const whole = { top: 0, left: 0 };
  const bytes = resize.resizeWindow(
    image,
    { ...whole, width, height },
    image,
    input,
    { ...whole, ...input },
    false,
  );
  const plane = input.width * input.height;
  const values = new Float32Array(3 * plane);
  for (const [channel, levels] of loaded.levels.entries()) {
    for (let i = channel * plane, end = i + plane; i < end; i++) values[i] = levels[bytes[i]!]!;
  }
  const labels: Uint8Array<ArrayBuffer>[] = [];
  const passes: number[] = [];
  for (const session of loaded.sessions) {
    const begun = performance.now();
    const scores = await scoresOf(session, values, input, loaded);
    passes.push(performance.now() - begun);
    labels.push(largestClasses(scores, input, { width, height }));
  }
  const milliseconds = performance.now() - started;
  tell(
    { kind: 'segmented', width, height, labels, input, passes, milliseconds },
    labels.map(({ buffer }) => buffer),
  );
}

/** The size at which a picture enters; by windows at least as large as one, which their file is for. */
function inputSize(image: Size, { resize, fixed, description }: Loaded): Size {
  const { inputSize: bounds, windows } = description;
  if (fixed !== undefined && windows === undefined) return fixed;
  const { width, height } = bounds === 'full' ? image : resize.scaledSize(image, bounds);
  if (windows === undefined) return { width, height };
  const enlarged = Math.max(1, windows.window.width / width, windows.window.height / height);
  return { width: Math.ceil(width * enlarged), height: Math.ceil(height * enlarged) };
}

/** One network's class scores, of the whole input or averaged over windows. @param values (3, height, width). */
async function scoresOf(
  session: Ort.InferenceSession,
  values: Float32Array,
  input: Size,
  { ort, description, windowBoxes }: Loaded,
): Promise<Scores> {
  const run = async (part: Float32Array, { width, height }: Size): Promise<Scores> => {
    const entering = new ort.Tensor('float32', part, [1, 3, height, width]);
    const { [OUTPUT]: logits } = await session.run({ [INPUT]: entering });
    const [, channels, rows, columns] = logits!.dims as [number, number, number, number];
    const data = logits!.data as Float32Array;
    logits!.dispose();
    return { data, channels, width: columns, height: rows };
  };
  const { windows } = description;
  if (windows === undefined) return await run(values, input);
  const parts = [];
  for (const box of windowBoxes([input.height, input.width], windows.window, windows.stride)) {
    const { top, left } = box;
    parts.push({ top, left, scores: await run(partOf(values, input, box), box) });
  }
  return averagedWindows(parts, windows.window, input);
}

/** A window of the input's planes. */
function partOf(values: Float32Array, input: Size, { top, left, width, height }: Box): Float32Array {
  const part = new Float32Array(3 * width * height);
  for (let channel = 0, to = 0; channel < 3; channel++) {
    for (let y = top; y < top + height; y++, to += width) {
      const from = (channel * input.height + y) * input.width + left;
      part.set(values.subarray(from, from + width), to);
    }
  }
  return part;
}

/** RGB, interleaved. Closes the picture. */
function pixelsOf(picture: ImageBitmap): Size & { data: Uint8Array } {
  const { width, height } = picture;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error(`a picture of ${width}x${height} is too large for this browser`);
  context.drawImage(picture, 0, 0);
  picture.close();
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = data[from]!;
    rgb[to + 1] = data[from + 1]!;
    rgb[to + 2] = data[from + 2]!;
  }
  return { width, height, data: rgb };
}
