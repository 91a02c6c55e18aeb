// The page in a browser: what a person sees, presses and waits for.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Dashboard, startDashboard } from '../../src/dashboard/server.js';
import { percent, points } from '../../src/report/format.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { noBrowser, openBrowser } from '../support/browser.js';
import { addContrast } from '../support/fake-contrast.js';
import { writeFakeRun } from '../support/fake-run.js';

/** A page is drawn, and asks for news, in its own time: more of it on a machine with other work. */
const eventually = <T>(value: () => T) => expect.poll(value, { timeout: 20_000 });

describe.skipIf(noBrowser !== undefined)(noBrowser ?? 'the page', () => {
  let root: string;
  let runs: string;
  let served: Dashboard;
  let browser: Browser;
  let demo: RunDirectory;
  let page: Page;
  const said: string[] = [];

  beforeAll(async () => {
    root = mkdtempSync(path.join(tmpdir(), 'pgpc-page-'));
    runs = path.join(root, 'runs');
    demo = await writeFakeRun(runs, { name: 'demo', samples: 2 });
    await addContrast(demo);
    const other = RunDirectory.create(runs, 'other', {
      config: { method: 'self-training', iterations: 400 },
      seed: 2,
      versions: {},
      title: '<img src=x onerror="document.title=1">',
    });
    for (let iteration = 10; iteration <= 400; iteration += 10) {
      other.log({ phase: 'train', iteration }, { 'loss/total': 1 / iteration });
    }
    other.addResult({ ...demo.results[0]!, name: 'mine', label: '<b>Mine</b>', miou: 0.123 });
    other.finish('failed', '<i>error</i>');
    served = await startDashboard({ roots: [runs], port: 0 });
    browser = await openBrowser();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await served?.close();
    rmSync(root, { recursive: true });
  });

  async function open(view: string, width = 1280, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    await page.goto(`${served.address}#view=${view}`);
    await page.locator('.runs li').nth(1).waitFor();
    return page;
  }
  afterEach(async () => {
    await page.close();
    expect(said.splice(0)).toEqual([]);
  });

  /** How many colours a canvas has: an empty one has one. */
  const colorsOf = (selector: string) =>
    page
      .locator(selector)
      .first()
      .evaluate((element) => {
        const canvas = element as unknown as {
          width: number;
          height: number;
          getContext(kind: '2d'): {
            getImageData(x: number, y: number, w: number, h: number): { data: Uint8ClampedArray };
          };
        };
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
      });

  test('draws a chart for every metric, and zooms by keys, by dragging and by numbers', async () => {
    await open('curves');
    const titles = page.locator('.chart strong');
    await eventually(() => titles.count()).toBe(8);
    expect((await titles.allTextContents()).slice(0, 4)).toEqual([
      'loss/total',
      'loss/source',
      'loss/target',
      'loss/contrast',
    ]);
    await eventually(() => colorsOf('.chart canvas')).toBeGreaterThan(20);
    const [from, to] = [page.getByLabel('from', { exact: true }), page.getByLabel('to', { exact: true })];
    expect([await from.inputValue(), await to.inputValue()]).toEqual(['0', '400']);
    await page.keyboard.press('+');
    await eventually(() => from.inputValue()).toBe('40');
    await page.keyboard.press('0');
    await eventually(() => from.inputValue()).toBe('0');
    const box = (await page.locator('.u-over').first().boundingBox())!;
    await page.mouse.move(box.x + box.width / 4, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 60, { steps: 4 });
    await page.mouse.up();
    await eventually(async () => Math.round(Number(await from.inputValue()) / 10)).toBe(10);
    expect(Math.round(Number(await to.inputValue()) / 10)).toBe(20);
    await to.fill('150');
    await to.press('Enter');
    await eventually(() => to.inputValue()).toBe('150');
    await page.mouse.move(box.x + box.width / 2, box.y + 70);
    await eventually(() => page.locator('.told:visible').first().textContent()).toMatch(/demo|other/);
  });

  test('grows with a run under way, and shows a new one', async () => {
    await open('curves');
    const run = RunDirectory.create(runs, 'third', { config: {}, seed: 1, versions: {} });
    try {
      run.log({ phase: 'a', iteration: 5 }, { 'loss/new': 1 });
      const row = page.locator('.runs li', { hasText: 'third' });
      await row.waitFor();
      await row.getByRole('checkbox').check();
      await eventually(() => page.locator('.chart strong').allTextContents()).toContain('loss/new');
      run.log({ phase: 'a', iteration: 1234 }, { 'loss/new': 2 });
      await eventually(() => row.textContent()).toContain('step 1,234');
      await eventually(() => page.getByLabel('to', { exact: true }).inputValue()).toBe('1234');
    } finally {
      rmSync(run.path, { recursive: true });
    }
    await eventually(() => page.locator('.runs li').count()).toBe(2);
    expect(await page.locator('.notice').textContent()).toContain('third');
  });

  test('has the results as they are, and as differences', async () => {
    await open('results');
    const miou = page.locator('tr', { hasText: 'mIoU' }).locator('td');
    const expected = [...demo.results.map((result) => result.miou), 0.123];
    await eventually(() => miou.allTextContents()).toEqual(expected.map(percent));
    const road = page.locator('tr', { hasText: 'road' }).locator('td');
    expect((await road.allTextContents()).slice(0, 4)).toEqual(
      demo.results.map(({ iou }) => percent(iou[0]!)),
    );
    await page.getByLabel('differences to').selectOption({ label: 'demo · Source only' });
    const differences = expected.map((value, i) => (i === 0 ? percent(value) : points(value - expected[0]!)));
    await eventually(() => miou.allTextContents()).toEqual(differences);
    expect(await page.locator('thead').textContent()).toContain('<b>Mine</b>');
  });

  /** A pixel of the left picture under the slider. */
  const read = (x: number, y: number) =>
    page
      .locator('.compare canvas')
      .last()
      .evaluate(
        (element, [px, py]) => {
          const shown = element as unknown as {
            width: number;
            getContext(kind: '2d'): {
              getImageData(x: number, y: number, w: number, h: number): { data: Uint8ClampedArray };
            };
          };
          return [...shown.getContext('2d').getImageData(px!, py!, 1, 1).data].slice(0, 3);
        },
        [x, y],
      );
  /** The field whose label begins with these words. */
  const field = (words: string) =>
    page.locator('label', { hasText: new RegExp(`^${words}`) }).locator('select, input');

  test('has pictures under a slider, in the colours of the run or safe ones', async () => {
    await open('pictures');
    const [road] = demo.info.classes;
    await field('left').selectOption('truth');
    await eventually(() => read(2, 2)).toEqual(road!.color);
    await page.getByLabel('class colours').selectOption('safe');
    await eventually(() => read(2, 2)).toEqual([255, 255, 255]);
    expect(await read(2, 127)).toEqual([0, 0, 0]);
    const clip = () =>
      page
        .locator('.compare .over')
        .evaluate(
          (element) =>
            element.clientWidth > 0 &&
            (
              globalThis as unknown as { getComputedStyle(e: unknown): { clipPath: string } }
            ).getComputedStyle(element).clipPath,
        );
    const before = await clip();
    await page.locator('.compare input').focus();
    await page.keyboard.press('ArrowLeft');
    await eventually(clip).not.toBe(before);
    expect(await page.locator('.pager').textContent()).toContain('1 of 2');
    await page.getByLabel('next image').click();
    await eventually(() => page.locator('.pager').textContent()).toContain('2 of 2');
  });

  test('shows what a training chose at each of its checkpoints, by keys too', async () => {
    await open('pictures');
    const [road, sidewalk] = demo.info.classes;
    await field('left').selectOption('anchors');
    await eventually(() => read(100, 50)).toEqual(sidewalk!.color);
    const checkpoint = field('checkpoint');
    expect(await checkpoint.getAttribute('aria-valuetext')).toBe('step 1,000');
    await checkpoint.focus();
    await page.keyboard.press('ArrowLeft');
    await eventually(() => read(100, 50)).toEqual(road!.color);
    expect(await checkpoint.getAttribute('aria-valuetext')).toBe('step 500');
    expect(await page.locator('figcaption').allTextContents()).toContain('anchors, step 500');
    // The masks have 16 columns, the picture 256: of the fourth class the pixels from 48 on are negatives, the others dark.
    await field('left').selectOption('negatives');
    await field('negatives of').selectOption('wall');
    await eventually(() => read(47, 50)).toEqual([0, 11, 11]);
    expect(await read(48, 50)).toEqual([0, 48, 48]);
    await field('negatives of').selectOption('road');
    await eventually(() => read(47, 50)).toEqual([0, 47, 47]);
  });

  test('shows the pictures over the training of the method that is chosen', async () => {
    const run = RunDirectory.create(runs, 'third', { config: {}, seed: 3, versions: {} });
    try {
      const flat = { width: 16, height: 8 };
      await run.writePicture('target-0.png', { ...flat, data: new Uint8Array(384) });
      const checkpoints = [];
      for (const [i, [method, kind]] of [
        ['source', 'prediction'],
        ['pgpc', 'pseudo-label'],
      ].entries()) {
        const file = `${method}.png`;
        await run.writeLabelPicture(file, { ...flat, data: new Uint8Array(128).fill(i) });
        checkpoints.push({ method, seed: 3, iteration: 10 * (i + 1), pictures: { [kind!]: file } });
      }
      run.addResult({ ...demo.results[0]!, name: 'pgpc', label: 'PGPC' });
      run.writePictureIndex({
        source: [],
        target: [{ id: 'one', image: 'target-0.png', predictions: {}, checkpoints }],
      });
      await open(`pictures&run=${encodeURIComponent(run.path)}`);
      const captions = () => page.locator('figcaption').allTextContents();
      await eventually(captions).toEqual(['image', 'PGPC · pseudo-label, seed 3, step 20']);
      await field('left').selectOption('pseudo-label');
      await eventually(() => read(2, 2)).toEqual(demo.info.classes[1]!.color);
      await field('over the training of').selectOption('source');
      await eventually(captions).toEqual(['image', 'source · prediction, seed 3, step 10']);
      await eventually(() => read(2, 2)).toEqual(demo.info.classes[0]!.color);
    } finally {
      rmSync(run.path, { recursive: true });
    }
  });

  test('has a map of the banks, prototypes over time, and a table of their cosines', async () => {
    await open('contrast');
    const plane = page.locator('.plane');
    await plane.waitFor();
    expect(await plane.locator('circle.centres').count()).toBe(54);
    expect(await plane.locator('.prototype').count()).toBe(18);
    const text = page.locator('[aria-live]');
    await eventually(() => text.textContent()).not.toContain('until UMAP');
    const places = () =>
      plane.locator('circle.centres').evaluateAll((all) =>
        all.map((one) => {
          const { cx } = one as unknown as { cx: { baseVal: { value: number } } };
          return cx.baseVal.value;
        }),
      );
    const first = await places();
    await field('map').selectOption('variance');
    await eventually(places).not.toEqual(first);
    // The path of a prototype has a place for each checkpoint.
    const path = () => plane.locator('polyline').first().getAttribute('points');
    expect((await path())!.split(' ')).toHaveLength(2);
    const cell = page.locator('tbody tr').first().locator('td').nth(1);
    const newest = await cell.textContent();
    expect(newest).toMatch(/^-?[01]\.\d\d$/);
    expect(await cell.getAttribute('title')).toBe(`road, sidewalk: ${newest}`);
    expect(await page.locator('tbody tr').first().locator('td').first().textContent()).toBe('1.00');
    await field('checkpoint').focus();
    await page.keyboard.press('ArrowLeft');
    await eventually(() => cell.textContent()).not.toBe(newest);
    expect((await path())!.split(' ')).toHaveLength(1);
    await page
      .locator('label', { hasText: /^class (?!colours)/ })
      .locator('select')
      .selectOption('sky');
    await eventually(() => plane.locator('.prototype.other').count()).toBe(17);
    expect(await page.locator('main').textContent()).toContain('other: nothing of a contrast is recorded');
  });

  test('has the entries in which configurations differ', async () => {
    await open('configuration');
    const table = page.locator('table.words');
    await eventually(() => table.textContent()).toContain('method');
    const row = (name: string) => table.locator('tr').filter({ has: page.locator(`th:text-is("${name}")`) });
    expect((await row('method').locator('td').allTextContents()).sort()).toEqual(['pgpc', 'self-training']);
    expect(await row('contrast.tau').locator('td').allTextContents()).toContain('not set');
    expect(await row('iterations').count()).toBe(0);
    await page.getByLabel(/entries that are the same/).check();
    await eventually(() => row('iterations').count()).toBe(1);
    expect(await row('error').textContent()).toContain('<i>error</i>');
  });

  test('is worked by keys', async () => {
    await open('curves');
    const chosen = () => page.locator('.runs .chosen .name').allTextContents();
    expect(await chosen()).toEqual(['demo', 'other']);
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await eventually(chosen).toEqual(['demo']);
    await page.keyboard.press('Enter');
    await eventually(chosen).toEqual(['other']);
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    await eventually(chosen).toEqual(['demo']);
    await page.keyboard.press('2');
    await page.locator('nav [aria-current]', { hasText: 'Results' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('failed');
    await eventually(() => page.locator('.runs .name').allTextContents()).toEqual(['other']);
    await page.keyboard.press('Escape');
    await eventually(() => page.locator('.runs li').count()).toBe(2);
    // View and runs are in the address.
    await page.reload();
    await page.locator('nav [aria-current]', { hasText: 'Results' }).waitFor();
    await eventually(chosen).toEqual(['demo']);
  });

  test.each(['light', 'dark'] as const)('fits a phone, %s', async (scheme) => {
    await open('runs', 390, scheme);
    for (const view of ['Runs', 'Curves', 'Results', 'Pictures', 'Contrast', 'Configuration']) {
      await page.getByRole('button', { name: view, exact: true }).click();
      await page.locator('nav [aria-current]', { hasText: view }).waitFor();
      const [width, shade] = await page.evaluate(() => {
        const { document, getComputedStyle } = globalThis as unknown as {
          document: { documentElement: { scrollWidth: number }; body: object };
          getComputedStyle(e: object): { backgroundColor: string };
        };
        const [red] = /\d+/.exec(getComputedStyle(document.body).backgroundColor)!;
        return [document.documentElement.scrollWidth, Number(red)] as const;
      });
      expect([view, width]).toEqual([view, 390]);
      if (scheme === 'dark') expect(shade).toBeLessThan(60);
      else expect(shade).toBeGreaterThan(200);
    }
  });

  test('says when the server is gone', async () => {
    const own = await startDashboard({ roots: [runs], port: 0 });
    page = await browser.newPage();
    await page.goto(own.address);
    await page.locator('.runs li').first().waitFor();
    await own.close();
    await page.locator('.notice.failed').waitFor({ timeout: 8000 });
    expect(await page.locator('.notice.failed').textContent()).toContain('Nothing new comes');
  });
});
