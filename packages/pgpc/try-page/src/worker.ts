// Computes beside the page, which stays answerable: pictures to network inputs, networks, logits to classes.

import type * as Resize from '@pgpc/datasets/resize';
import type * as Ort from 'onnxruntime-web/webgpu';
import type { TriedDescription } from '../../src/try/protocol.js';
import { largestClasses } from './classes.js';
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
  ort.env.wasm.wasmPaths = '/ort/';
  ort.env.logLevel = 'error';
  return { ort, resize };
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
  const { ort, resize } = loaded;
  const started = performance.now();
  const { width, height } = picture;
  const image = pixelsOf(picture);
  const { inputSize } = loaded.description;
  const input =
    loaded.fixed ?? (inputSize === 'full' ? { width, height } : resize.scaledSize(image, inputSize));
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
    const entering = new ort.Tensor('float32', values, [1, 3, input.height, input.width]);
    const { [OUTPUT]: logits } = await session.run({ [INPUT]: entering });
    passes.push(performance.now() - begun);
    const [, channels, rows, columns] = logits!.dims as [number, number, number, number];
    const data = logits!.data as Float32Array;
    labels.push(largestClasses({ data, channels, width: columns, height: rows }, input, { width, height }));
    logits!.dispose();
  }
  const milliseconds = performance.now() - started;
  tell(
    { kind: 'segmented', width, height, labels, input, passes, milliseconds },
    labels.map(({ buffer }) => buffer),
  );
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
