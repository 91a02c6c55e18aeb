// The server of `pgpc try` over HTTP: what is exported and when, what is served, and to whom.

import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportOnnx } from '../../src/export/export-onnx.js';
import { loadSegmentor, saveSegmentor } from '../../src/models/checkpoint.js';
import { findNetworks, type Tried } from '../../src/try/networks.js';
import type { TriedDescription } from '../../src/try/protocol.js';
import { serveTry, type TryServer } from '../../src/try/server.js';
import { writeModel, writeTriedRun } from '../support/tried-run.js';

let root: string;
let run: string;
let tried: Tried;
let served: TryServer;

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'pgpc-try-test-'));
  run = await writeTriedRun(root);
  tried = await findNetworks({ model: run });
  served = await serveTry(tried, 0);
}, 120_000);
afterAll(async () => {
  await served?.close();
  rmSync(root, { recursive: true });
});

/** `fetch` sets Host and Origin itself, and tidies paths: here they are sent as they are written. */
function ask(pathname: string, headers: Record<string, string> = {}, method = 'GET') {
  const { port } = new URL(served.address);
  return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: pathname, headers, method }, (response) => {
      let text = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('what is tried', () => {
  test('the network of a run, the source network beside it, and target pictures', () => {
    expect(tried.title).toBe('streets to <camera>');
    expect(tried.networks.map((network) => network?.label)).toEqual(['pgpc-plus', 'source']);
    expect(tried.networks[0].file).toBe(path.join(run, 'try/pgpc-plus/model.onnx'));
    expect(tried.networks[0].inputSize).toEqual({ width: 96, height: 64 });
    expect(tried.networks[0].classes.map(({ name }) => name)).toContain('kind 4');
    expect(tried.examples.map(({ name }) => name)).toEqual(['one']);
  });

  test('exported once, and anew when the model has changed', async () => {
    const written = (network: string) => statSync(path.join(run, 'try', network, 'model.onnx')).mtimeMs;
    const before = ['pgpc-plus', 'source'].map(written);
    await findNetworks({ model: run });
    expect(['pgpc-plus', 'source'].map(written)).toEqual(before);
    const stages: string[] = [];
    writeModel(path.join(run, 'checkpoints/source/model.safetensors'), 3);
    await findNetworks({ model: run, onStage: (stage) => stages.push(stage) });
    expect(stages).toEqual([`exporting ${path.join(run, 'checkpoints/source/model.safetensors')}`]);
    expect(written('pgpc-plus')).toBe(before[0]);
    expect(written('source')).toBeGreaterThan(before[1]!);
  });

  test('a model file alone, in a folder that is gone at the end', async () => {
    const file = path.join(root, 'mine.safetensors');
    writeModel(file, 4);
    const alone = await findNetworks({ model: file });
    expect([alone.title, alone.networks.length]).toEqual(['mine', 1]);
    expect(alone.networks[0].file.startsWith(root)).toBe(false);
    expect(statSync(alone.networks[0].file).size).toBeGreaterThan(1e6);
    alone.dispose();
    expect(statSync(alone.networks[0].file, { throwIfNoEntry: false })).toBeUndefined();
  });

  test('a folder of pgpc export onnx, and none that pgpc did not describe', async () => {
    const out = path.join(root, 'exported');
    const checkpoint = path.join(run, 'checkpoints/pgpc-plus');
    await exportOnnx({ checkpoint, out, check: false, foldPreprocessing: true });
    const { networks } = await findNetworks({ model: out });
    expect([networks.length, networks[0].normalised]).toEqual([1, false]);
    writeFileSync(path.join(out, 'config.json'), '{"id2label": {"0": "a"}}');
    await expect(findNetworks({ model: out })).rejects.toThrow(
      '`pgpc export onnx` writes a folder that can be tried',
    );
  });

  test('no source network of other classes', async () => {
    const other = await writeTriedRun(path.join(root, 'other'), { source: { classes: 3 } });
    const { networks, said } = await findNetworks({ model: other });
    expect(networks.map((network) => network?.label)).toEqual(['pgpc-plus']);
    expect(said).toEqual([expect.stringContaining('its classes are others, so it is not shown')]);
  });

  test('a network of two resolutions by the windows of its training, also from what is there', async () => {
    const multiResolution = { detailCrop: { width: 32, height: 32 }, detailWeight: 0.1 };
    const two = await writeTriedRun(path.join(root, 'two'), { both: { multiResolution } });
    const windows = { window: { width: 64, height: 64 }, stride: { width: 32, height: 32 } };
    for (const stages of [2, 0]) {
      const said: string[] = [];
      const { networks } = await findNetworks({ model: two, onStage: (stage) => said.push(stage) });
      expect(networks.map((network) => network?.windows)).toEqual([windows, windows]);
      expect(said).toHaveLength(stages);
    }
    const one = await findNetworks({ model: path.join(run, 'checkpoints/source') });
    expect(one.networks[0].windows).toBeUndefined();
  });

  test('a network for one size alone, at the size of the target pictures', { timeout: 120_000 }, async () => {
    const one = await writeTriedRun(path.join(root, 'one-size'), { both: { backbone: 'dinov2_vits14' } });
    const { networks } = await findNetworks({ model: one });
    const said = 'pictures of any ratio are brought to 96x64, which the file is for';
    expect(networks.map((network) => network?.said.at(-1))).toEqual([said, said]);
    const file = path.join(root, 'alone.safetensors');
    copyFileSync(path.join(one, 'checkpoints/source/model.safetensors'), file);
    // No run, but the model says at which size it was trained.
    const alone = await findNetworks({ model: file });
    expect(alone.networks[0].said.at(-1)).toBe(said);
    alone.dispose();
    using segmentor = loadSegmentor(file);
    segmentor.about = undefined;
    saveSegmentor(file, segmentor);
    await expect(findNetworks({ model: file })).rejects.toThrow(
      /for all sizes.*`pgpc export onnx .*alone\.safetensors --size WIDTHxHEIGHT --out FOLDER` writes one for/,
    );
  });

  test('no picture from outside of the run', async () => {
    const picture = path.join(run, 'pictures/target-0.png');
    const original = readFileSync(picture);
    rmSync(picture);
    writeFileSync(path.join(root, 'secret.png'), 'secret');
    symlinkSync(path.join(root, 'secret.png'), picture);
    expect((await findNetworks({ model: run })).examples).toEqual([]);
    rmSync(picture);
    writeFileSync(picture, original);
  });

  test.skipIf(process.getuid?.() === 0)('a run that cannot be written to', async () => {
    rmSync(path.join(run, 'try'), { recursive: true });
    chmodSync(run, 0o500);
    try {
      const elsewhere = await findNetworks({ model: run });
      expect(elsewhere.networks[0].file.startsWith(run)).toBe(false);
      elsewhere.dispose();
    } finally {
      chmodSync(run, 0o700);
    }
  });
});

describe('the server', () => {
  test('tells the page what there is', async () => {
    const { status, text } = await ask('/try.json');
    const description = JSON.parse(text) as TriedDescription;
    expect(status).toBe(200);
    expect(description).toMatchObject({
      title: 'streets to <camera>',
      networks: [
        { label: 'pgpc-plus', address: '/networks/0.onnx' },
        { label: 'source', address: '/networks/1.onnx' },
      ],
      inputSize: { width: 96, height: 64 },
      examples: [{ name: 'one', address: '/examples/0.png' }],
    });
    expect(description.normalisation!.mean[0]).toBeCloseTo(0.485, 6);
    expect(text).not.toContain(root);
  });

  test('serves the page, its scripts, the runtime, networks and pictures, each of its type', async () => {
    for (const [address, type] of [
      ['/', 'text/html; charset=utf-8'],
      ['/page.js', 'text/javascript; charset=utf-8'],
      ['/worker.js', 'text/javascript; charset=utf-8'],
      ['/resize.js', 'text/javascript; charset=utf-8'],
      ['/windows.js', 'text/javascript; charset=utf-8'],
      ['/page.css', 'text/css; charset=utf-8'],
      ['/ort/ort-wasm-simd-threaded.asyncify.wasm', 'application/wasm'],
      ['/networks/1.onnx', 'application/octet-stream'],
      ['/examples/0.png?now', 'image/png'],
    ] as const) {
      const { status, headers, text } = await ask(address, {}, 'HEAD');
      expect([address, status, headers['content-type'], text]).toEqual([address, 200, type, '']);
    }
    const { text } = await ask('/examples/0.png');
    expect(Buffer.from(text, 'latin1')).toEqual(readFileSync(path.join(run, 'pictures/target-0.png')));
  });

  test('serves nothing else', async () => {
    for (const address of [
      '/networks/2.onnx',
      '/run.json',
      '/../run.json',
      '/%2e%2e/run.json',
      '/examples/../../run.json',
      '//etc/passwd',
      '/ort/ort.min.mjs',
      '/index.html',
    ]) {
      expect([address, (await ask(address)).status]).toEqual([address, 404]);
    }
  });

  test('answers no page of another address, no other name, and nothing that would change something', async () => {
    const status = async (headers: Record<string, string>, address = '/try.json', method = 'GET') =>
      (await ask(address, headers, method)).status;
    for (const host of ['localhost', 'LOCALHOST:9', '127.0.0.1:6465']) {
      expect([host, await status({ host })]).toEqual([host, 200]);
    }
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '0.0.0.0']) {
      expect([host, await status({ host })]).toEqual([host, 403]);
    }
    expect(await status({ host: 'a@localhost' })).toBe(400);
    const host = 'localhost:1';
    expect(await status({ host, origin: 'http://localhost:1' })).toBe(200);
    for (const origin of ['http://localhost:2', 'https://localhost:1', 'null']) {
      expect([origin, await status({ host, origin })]).toEqual([origin, 403]);
    }
    const elsewhere = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
    expect(await status(elsewhere)).toBe(403);
    expect(await status(elsewhere, '/')).toBe(200);
    expect(await status({ 'sec-fetch-site': 'same-origin' })).toBe(200);
    for (const method of ['POST', 'PUT', 'DELETE']) expect(await status({}, '/', method)).toBe(405);
  });

  test('keeps the page to itself, and lets wasm use threads', async () => {
    const { headers } = await ask('/');
    const policy = headers['content-security-policy'];
    expect(policy).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(policy).not.toContain("'unsafe");
    expect(headers['cross-origin-opener-policy']).toBe('same-origin');
    expect(headers['cross-origin-embedder-policy']).toBe('require-corp');
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  test('says that a port is taken', async () => {
    const { port } = new URL(served.address);
    await expect(serveTry(tried, Number(port))).rejects.toThrow(
      `127.0.0.1:${port}: the port is taken: choose another --port, or leave it out`,
    );
  });
});
