// The server of `pgpc try`: a list of addresses, each one file, on this machine alone.
//
// On node:http: a fixed table that answers GET needs no router. Nothing that a request says becomes a path.

import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { RGB_MEAN, RGB_STD } from '../config/normalisation.js';
import { foreignRequest } from '../local-server/access.js';
import { close, listen, PRIVATE_HEADERS } from '../local-server/listen.js';
import { STYLE } from '../report/style.js';
import type { Tried } from './networks.js';
import type { TriedDescription } from './protocol.js';

/** The file of a package's entry. */
const resolved = createRequire(import.meta.url).resolve;

const HOST = '127.0.0.1';

const DOOR = {
  name: 'this server',
  isOwnName: (hostname: string) => hostname === HOST || hostname === 'localhost',
};

/** Tried where no port is named; any free one if it is taken. */
const USUAL_PORT = 6465;

const PAGE = fileURLToPath(new URL('../../try-page/', import.meta.url));

const WINDOWS = fileURLToPath(new URL('../../dist/windows.js', import.meta.url));

/** Of onnxruntime-web: the builds for WebGPU and for wasm alone, and what each loads. */
const RUNTIME_FILES = [
  'ort.webgpu.min.mjs',
  'ort-wasm-simd-threaded.asyncify.mjs',
  'ort-wasm-simd-threaded.asyncify.wasm',
  'ort.wasm.min.mjs',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
];

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.onnx': 'application/octet-stream',
  '.png': 'image/png',
};

const HEADERS = {
  'cache-control': 'no-cache',
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; " +
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; " +
    "form-action 'none'",
  // The two that let wasm compute in several threads.
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  ...PRIVATE_HEADERS,
};

/** What stands at an address: a file, or a text. */
type Served = { readonly file: string } | { readonly text: string };

export interface TryServer {
  /** What to open. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Serves the page until it is closed.
 * @param port left out: 6465, or any where that is taken.
 * @throws Error if onnxruntime-web is not installed, the page is not built, or the port cannot be had
 */
export async function serveTry(tried: Tried, port?: number): Promise<TryServer> {
  const table = addressesOf(tried);
  const server = createServer((request, response) => answer(request, response, table));
  const taken = await listen(server, { host: HOST, port, usualPort: USUAL_PORT }, 'the page');
  return { address: `http://${HOST}:${taken}/`, close: () => close(server) };
}

/** Every address that is answered. */
function addressesOf(tried: Tried): ReadonlyMap<string, Served> {
  const built = path.join(PAGE, 'dist');
  if (!existsSync(path.join(built, 'page.js'))) {
    throw new Error('the page is not built: run `npm run setup`');
  }
  const scripts = readdirSync(built).filter((name) => name.endsWith('.js'));
  const runtime = runtimeFolder();
  const resize = resolved('@pgpc/datasets/resize');
  const style = `${STYLE}\n${readFileSync(path.join(PAGE, 'page.css'), 'utf8')}`;
  return new Map<string, Served>([
    ['/', { file: path.join(PAGE, 'index.html') }],
    ['/page.css', { text: style }],
    ['/try.json', { text: JSON.stringify(describe(tried)) }],
    ['/resize.js', { file: resize }],
    ['/windows.js', { file: WINDOWS }],
    ...scripts.map((name) => [`/${name}`, { file: path.join(built, name) }] as const),
    ...RUNTIME_FILES.map((name) => [`/ort/${name}`, { file: path.join(runtime, name) }] as const),
    ...networksOf(tried).map(({ file }, i) => [networkAddress(i), { file }] as const),
    ...tried.examples.map(({ file }, i) => [exampleAddress(i), { file }] as const),
  ]);
}

const networkAddress = (i: number) => `/networks/${i}.onnx`;
const exampleAddress = (i: number) => `/examples/${i}.png`;
const networksOf = ({ networks }: Tried) => networks.filter((network) => network !== undefined);

/** @throws Error that says how to get it where it is not installed */
function runtimeFolder(): string {
  try {
    return path.dirname(resolved(`onnxruntime-web/${RUNTIME_FILES[2]}`));
  } catch (error) {
    throw new Error(
      'the page computes with onnxruntime-web, which is not installed: `npm install --ignore-scripts onnxruntime-web@1.30.0` gets ' +
        'it (143 MB)',
      { cause: error },
    );
  }
}

function describe(tried: Tried): TriedDescription {
  const [network] = tried.networks;
  const channels = (values: readonly number[]) => values.map((value) => value / 255);
  return {
    title: tried.title,
    networks: networksOf(tried).map(({ label }, i) => ({
      label,
      address: networkAddress(i),
    })) as unknown as TriedDescription['networks'],
    classes: network.classes.map(({ name, color }) => ({ name, color })),
    inputSize: network.inputSize,
    windows: network.windows,
    normalisation: network.normalised ? { mean: channels(RGB_MEAN), std: channels(RGB_STD) } : undefined,
    said: [...network.said, ...tried.said],
    examples: tried.examples.map(({ name }, i) => ({ name, address: exampleAddress(i) })),
  };
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  table: ReadonlyMap<string, Served>,
): void {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const pathname = (request.url ?? '').split('?')[0]!;
  const refusal = foreignRequest(request, pathname === '/', DOOR);
  if (refusal) {
    refuse(response, refusal.status, refusal.reason);
    return;
  }
  const served = table.get(pathname);
  if (served === undefined) {
    refuse(response, 404, 'there is nothing at this address');
    return;
  }
  const ending = pathname === '/' ? '.html' : path.extname(pathname);
  response.setHeader('content-type', TYPES[ending]!);
  if ('text' in served) {
    response.end(request.method === 'HEAD' ? undefined : served.text);
    return;
  }
  const size = statSync(served.file, { throwIfNoEntry: false })?.size;
  if (size === undefined) {
    refuse(response, 404, `${served.file} is gone: start pgpc try again`);
    return;
  }
  response.setHeader('content-length', size);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  // What was changed meanwhile, or cannot be read, ends the answer before its length: the page says so.
  createReadStream(served.file)
    .on('error', () => response.destroy())
    .pipe(response);
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${reason}\n`);
}
