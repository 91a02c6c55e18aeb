// An exported SegFormer in transformers.js, in Node and in Chromium: it loads the folder as it is, and gives predict's classes.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { noGrad } from '@pgpc/torch';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { predict } from '../../src/evaluation/predict.js';
import { exportOnnx } from '../../src/export/export-onnx.js';
import { numberedClasses } from '../../src/index.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import type { SegformerHead } from '../../src/models/segformer-head.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { noBrowser, openBrowser } from '../support/browser.js';
import { tinySegmentor } from '../support/method.js';
import { picture } from '../support/tried-run.js';

const SIZE = { width: 96, height: 64 };
const OPTIONS = { subfolder: '', dtype: 'fp32', device: 'cpu' } as const;

let root: string;
/** Pixels of each class by its name, as predict has them. */
let expected: Record<string, number>;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'pgpc-transformers-'));
  const model = path.join(root, 'model.safetensors');
  using segmentor = new Segmentor({ ...tinySegmentor, head: 'segformer' }, 1);
  const { classes } = numberedClasses(tinySegmentor.classes);
  segmentor.classInfo = classes.map((info, i) => ({ ...info, name: `kind ${i}` }));
  segmentor.about = { inputSize: SIZE };
  noGrad(() => (segmentor.decodeHead as SegformerHead).linearPred.weight.mul_(100));
  saveSegmentor(model, segmentor);
  await exportOnnx({ checkpoint: model, out: path.join(root, 'onnx'), check: false });
  const { data, width, height } = picture(SIZE.width, SIZE.height);
  const photo = path.join(root, 'photo.png');
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(photo);
  const { lines } = await predict({
    checkpoint: model,
    images: photo,
    out: path.join(root, 'out'),
    write: [],
    device: 'cpu',
  });
  expected = Object.fromEntries(
    Object.entries(lines[0]!.shares).map(([name, share]) => [name, Math.round(share * width * height)]),
  );
  expect(Object.keys(expected).length).toBeGreaterThan(1);
}, 120_000);
afterAll(() => rmSync(root, { recursive: true }));

/** Pixels of each class that a pipeline found. */
type Found = Record<string, number>;

function expectSame(found: Found): void {
  const differing = Object.keys({ ...expected, ...found }).map((name) =>
    Math.abs((expected[name] ?? 0) - (found[name] ?? 0)),
  );
  // It resizes logits in one step of its own: classes that are nearly level change places.
  const pixels = SIZE.width * SIZE.height;
  expect(differing.reduce((sum, count) => sum + count, 0) / pixels).toBeLessThan(0.01);
}

test('in Node', async () => {
  const { env, pipeline } = await import('@huggingface/transformers');
  Object.assign(env, { allowRemoteModels: false, localModelPath: root });
  const segment = await pipeline('image-segmentation', 'onnx', OPTIONS);
  const found = await segment(path.join(root, 'photo.png'));
  expectSame(
    Object.fromEntries(
      found.map(({ label, mask }) => [label, mask.data.filter((value) => value > 0).length]),
    ),
  );
  await segment.dispose();
}, 120_000);

test.skipIf(noBrowser !== undefined)(
  noBrowser ?? 'in Chromium',
  async () => {
    const server = await served();
    const browser = await openBrowser();
    try {
      const page = await browser.newPage();
      const elsewhere: string[] = [];
      const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      page.on('request', (request) => {
        if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url()))
          elsewhere.push(request.url());
      });
      await page.goto(`${address}/`);
      const found = (await page.evaluate(`(async () => {
      const { env, pipeline } = await import('/transformers/dist/transformers.web.min.js');
      Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/files/', useBrowserCache: false });
      env.backends.onnx.wasm.wasmPaths = '/runtime/';
      const segment = await pipeline('image-segmentation', 'onnx', { subfolder: '', dtype: 'fp32', device: 'wasm' });
      const found = await segment('/files/photo.png');
      return Object.fromEntries(found.map(({ label, mask }) => [label, mask.data.filter((value) => value > 0).length]));
    })()`)) as Found;
      expectSame(found);
      expect(elsewhere).toEqual([]);
    } finally {
      await browser.close();
      server.close();
      server.closeAllConnections();
    }
  },
  300_000,
);

/** transformers.js with its own onnxruntime-web, the model and the picture, on this machine. */
async function served(): Promise<Server> {
  const entry = createRequire(import.meta.url).resolve('@huggingface/transformers');
  const transformers = path.dirname(path.dirname(entry));
  const runtime = createRequire(entry).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm');
  const folders: Record<string, string> = {
    transformers,
    runtime: path.dirname(runtime),
    common: path.join(path.dirname(createRequire(runtime).resolve('onnxruntime-common')), '../esm'),
    files: root,
  };
  const imports = {
    'onnxruntime-web/webgpu': '/runtime/ort.webgpu.bundle.min.mjs',
    'onnxruntime-common': '/common/index.js',
  };
  const types: Record<string, string> = {
    '.js': 'text/javascript',
    '.mjs': 'text/javascript',
    '.wasm': 'application/wasm',
    '.json': 'application/json',
  };
  const server = createServer(({ url = '' }, response) => {
    if (url === '/') {
      response.setHeader('content-type', 'text/html');
      response.end(`<script type="importmap">${JSON.stringify({ imports })}</script>`);
      return;
    }
    const [, folder, file] = /^\/(\w+)\/([^?]*)/.exec(url) ?? [];
    try {
      const bytes = readFileSync(path.join(folders[folder!]!, file!));
      response.setHeader('content-type', types[path.extname(file!)] ?? 'application/octet-stream');
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
