// `pgpc try` as a person uses it: the command, its page in Chromium, and what the browser predicts beside `pgpc predict`.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { predict } from '../../src/evaluation/predict.js';
import { noBrowser, openBrowser } from '../support/browser.js';
import { picture, writeTriedRun } from '../support/tried-run.js';

describe.skipIf(noBrowser !== undefined)(noBrowser ?? 'the page of pgpc try', { timeout: 300_000 }, () => {
  let root: string;
  let run: string;
  let photo: string;
  let browser: Browser;
  let page: Page;
  let address: string;
  const commands: { ended: Promise<number>; ending: AbortController }[] = [];
  const said: string[] = [];

  /** Starts the command. @returns the address that it prints */
  const tryRun = (of: string) => {
    const ending = new AbortController();
    return new Promise<string>((resolve, reject) => {
      const stdout = new Writable({
        write(chunk, _encoding, done) {
          const url = /^try: (http:\S+)\n/.exec(chunk.toString())?.[1];
          if (url) resolve(url);
          done();
        },
      });
      const stderr = new Writable({ write: (_chunk, _encoding, done) => done() });
      const ended = main(['try', of], { stdout, stderr, signal: ending.signal });
      ended.then((code) => reject(new Error(`ended with ${code}`)), reject);
      commands.push({ ended, ending });
    });
  };

  beforeAll(async () => {
    root = mkdtempSync(path.join(tmpdir(), 'pgpc-try-page-'));
    run = await writeTriedRun(root);
    photo = path.join(root, 'photo.png');
    const { data, width, height } = picture(230, 171);
    await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(photo);
    address = await tryRun(run);
    browser = await openBrowser(['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream']);
    page = await browser.newPage({ viewport: { width: 390, height: 800 } });
    page.on('console', (message) => {
      if (message.type() === 'error') said.push(message.text());
    });
    page.on('pageerror', (error) => said.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url()))
        said.push(request.url());
    });
    await page.goto(address);
    await page.locator('body[data-state=ready]').waitFor({ timeout: 200_000 });
  }, 300_000);
  afterAll(async () => {
    await browser?.close();
    for (const { ended, ending } of commands) {
      ending.abort();
      expect(await ended).toBe(130);
    }
    rmSync(root, { recursive: true });
  });
  afterEach(() => {
    // No error, and nothing that was asked of another address.
    expect(said.splice(0)).toEqual([]);
  });

  const figures = () => page.locator('#figures').textContent();

  /** RGB of a canvas. */
  const pixelsOf = async (selector: string, of = page): Promise<number[]> =>
    of.locator(selector).evaluate((element) => {
      const canvas = element as unknown as {
        width: number;
        height: number;
        getContext(kind: '2d'): { getImageData(...box: number[]): { data: Uint8ClampedArray } };
      };
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return [...data].filter((_, i) => i % 4 < 3);
    });

  /** How many colours there are. */
  const colours = (rgb: readonly number[]) =>
    new Set(Array.from({ length: rgb.length / 3 }, (_, i) => rgb.slice(3 * i, 3 * i + 3).join())).size;

  /** Share of the pixels that have one colour in both. */
  const equal = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    let same = 0;
    for (let i = 0; i < a.length; i += 3) {
      if (a[i] === b[i] && a[i + 1] === b[i + 1] && a[i + 2] === b[i + 2]) same++;
    }
    return (3 * same) / a.length;
  };

  /** Compares both networks of a run with `pgpc predict`. */
  const expectPredicted = async (of: string, on: Page) => {
    for (const [canvas, network] of [
      ['network', 'pgpc-plus'],
      ['source', 'source'],
    ] as const) {
      const out = path.join(of, 'predicted', network);
      const checkpoint = path.join(of, 'checkpoints', network);
      await predict({ checkpoint, images: photo, out, write: ['colors'], device: 'cpu' });
      const theirs = await sharp(path.join(out, 'colors/photo.png'))
        .removeAlpha()
        .toColourspace('srgb')
        .raw()
        .toBuffer();
      const ours = await pixelsOf(`canvas.${canvas}`, on);
      expect(colours(ours)).toBeGreaterThan(1);
      expect(equal(ours, theirs), `of ${network}`).toBeGreaterThanOrEqual(0.999);
    }
  };

  test('gives each pixel of a picture the class that predict gives it, by both networks', async () => {
    await page.setInputFiles('#file', photo);
    await expect.poll(figures, { timeout: 60_000 }).toMatch(/^230 × 171, in as 86 × 64 · \d+ ms a frame/);
    expect(equal(await pixelsOf('canvas.picture'), picture(230, 171).data)).toBe(1);
    await expectPredicted(run, page);
  });

  test('gives it by windows where the networks see two resolutions', async () => {
    const multiResolution = { detailCrop: { width: 32, height: 32 }, detailWeight: 0.1 };
    const two = await writeTriedRun(path.join(root, 'two'), { both: { multiResolution } });
    const other = await browser.newPage();
    await other.goto(await tryRun(two));
    await other.locator('body[data-state=ready]').waitFor({ timeout: 200_000 });
    await other.setInputFiles('#file', photo);
    const shown = () => other.locator('#figures').textContent();
    // Windows of 64 x 64.
    await expect.poll(shown, { timeout: 60_000 }).toMatch(/^230 × 171, in as 86 × 64/);
    await expectPredicted(two, other);
    await other.close();
  });

  test('gives the same classes by WebGPU as by wasm', { timeout: 3_600_000 }, async ({ skip }) => {
    if (process.env.PGPC_WEBGPU !== '1') {
      skip("Chromium's GPU in software takes many minutes: PGPC_WEBGPU=1 compares WebGPU with wasm");
    }
    // Chromium offers it to whoever asks for it by name.
    const other = await openBrowser([
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      '--enable-features=Vulkan',
    ]);
    try {
      const gpuPage = await other.newPage();
      // The page leaves such a one alone, which is slower than wasm, unless it does not say what it is.
      await gpuPage.route('**/worker.js', async (route) => {
        const response = await route.fetch();
        const real = `Object.defineProperty(GPUAdapterInfo.prototype, 'isFallbackAdapter', { value: false });`;
        await route.fulfill({ response, body: `${real}\n${await response.text()}` });
      });
      await gpuPage.goto(address);
      const adapter = await gpuPage.evaluate(
        `navigator.gpu?.requestAdapter().then((found) => found?.info.vendor)`,
      );
      if (adapter === undefined) skip('this Chromium has no WebGPU adapter: WebGPU is not tested');
      await gpuPage.locator('body[data-state=ready]').waitFor({ timeout: 3_000_000 });
      await gpuPage.setInputFiles('#file', photo);
      const said = await Promise.all(
        ['#device', '#status'].map((where) => gpuPage.locator(where).textContent()),
      );
      expect(said.join(' ')).toMatch(/computed by WebGPU $/);
      const shown = () => gpuPage.locator('#figures').textContent();
      await expect.poll(shown, { timeout: 500_000 }).toMatch(/ms a frame/);
      for (const canvas of ['canvas.network', 'canvas.source']) {
        const byGpu = await pixelsOf(canvas, gpuPage);
        expect(colours(byGpu)).toBeGreaterThan(1);
        expect(equal(byGpu, await pixelsOf(canvas)), canvas).toBeGreaterThanOrEqual(0.999);
      }
    } finally {
      await other.close();
    }
  });

  test('names the classes that are there with their shares, and how much adaptation changed', async () => {
    const rows = await page.locator('#legend tbody tr').allTextContents();
    expect(rows.length).toBeGreaterThan(1);
    for (const row of rows) expect(row).toMatch(/^kind \d(\d+\.\d %|–)(\d+\.\d %|–)$/);
    expect(await page.locator('#legend thead').textContent()).toBe('Classsourcepgpc-plus');
    const source = await pixelsOf('canvas.source');
    const changed = 100 * (1 - equal(await pixelsOf('canvas.network'), source));
    expect(await figures()).toContain(
      `adaptation changed the class of ${changed.toFixed(1)} % of the pixels`,
    );
  });

  test('moves the border between the networks, and the opacity, by keys', async () => {
    const style = (canvas: string) => `getComputedStyle(document.querySelector('canvas.${canvas}'))`;
    const clip = () => page.evaluate(`${style('source')}.clipPath`);
    expect(await clip()).toBe('inset(0px 50% 0px 0px)');
    await page.locator('#border').press('End');
    expect(await clip()).toBe('inset(0px 0% 0px 0px)');
    await page.locator('#opacity').press('Home');
    expect(await page.evaluate(`${style('network')}.opacity`)).toBe('0');
  });

  test('shows an example of the target, and says what is no picture', async () => {
    await page.locator('#examples button').click();
    await expect.poll(figures, { timeout: 60_000 }).toMatch(/^150 × 100, in as 96 × 64/);
    const broken = path.join(root, 'notes.png');
    writeFileSync(broken, readFileSync(photo).subarray(0, 60));
    await page.setInputFiles('#file', broken);
    await expect
      .poll(() => page.locator('#status.failed').textContent())
      .toBe('notes.png: this browser cannot read it as a picture');
  });

  test('segments what a camera sees until it is stopped', async () => {
    const button = page.locator('#camera');
    await button.click();
    await expect.poll(() => button.textContent(), { timeout: 30_000 }).toBe('Stop the camera');
    await expect.poll(figures, { timeout: 60_000 }).not.toMatch(/^150 × 100/);
    await button.click();
    await expect.poll(() => button.textContent(), { timeout: 60_000 }).toBe('Camera');
  });

  test('fits a phone', async () => {
    const wide = await page.evaluate('document.documentElement.scrollWidth');
    expect(wide).toBe(390);
  });
});
