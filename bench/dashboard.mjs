// The dashboard's page in a browser, on many long runs: when something is to be seen, and how long frames take while it zooms.
//
//   node bench/dashboard.mjs [--runs 20] [--points 10000] [--zooms 40] [--browser /usr/bin/chromium]

/// <reference lib="dom" />

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { startDashboard } from '../packages/pgpc/dist/dashboard/server.js';
import { RunDirectory } from '../packages/pgpc/dist/training/run-directory/run-directory.js';
import { describeMachine, finish, median, readFlags, temporaryFolder } from './lib.mjs';

const flags = readFlags({ runs: 20, points: 10_000, zooms: 40, browser: '/usr/bin/chromium' });
/** After a key: one in which the page is drawn, and one for each chart in view. */
const FRAMES = 8;
const machine = describeMachine();
const folder = join(temporaryFolder(), 'runs');

/** Losses that fall with noise, as a training logs them. */
function writeRun(name, seed) {
  const run = RunDirectory.create(folder, name, { config: { lr: 6e-5 }, seed, versions: {} });
  let state = seed + 1;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const lines = Array.from({ length: flags.points }, (_, i) => {
    const done = i / flags.points;
    const source = (0.25 + 2 * Math.exp(-6 * done)) * (0.8 + 0.4 * random());
    const target = (0.2 + Math.exp(-3 * done)) * (0.8 + 0.4 * random());
    return JSON.stringify({
      phase: 'pgpc',
      iteration: 4 * (i + 1),
      wall: i * 0.4,
      'loss/total': source + target,
      'loss/source': source,
      'loss/target': target,
      q: Math.min(1, 0.2 + 0.6 * done + 0.1 * random()),
      lr: 6e-5 * (1 - done),
    });
  });
  writeFileSync(join(run.path, 'metrics.jsonl'), `${lines.join('\n')}\n`);
  run.finish('finished');
}

const names = Array.from({ length: flags.runs }, (_, i) => `run-${String(i).padStart(2, '0')}`);
for (const [seed, name] of names.entries()) writeRun(name, seed);
const served = await startDashboard({ roots: [folder], port: 0 });
const browser = await chromium.launch({ executablePath: flags.browser, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  // A machine with other work is measured too, and its numbers say so.
  page.setDefaultTimeout(300_000);
  const chosen = new URLSearchParams([['view', 'curves']]);
  for (const name of names) chosen.append('run', join(folder, name));
  await page.goto(`${served.address}#${chosen}`);
  await page.waitForFunction(
    (count) => document.querySelectorAll('.runs .chosen').length === count,
    flags.runs,
  );
  await page.waitForFunction(() => !document.querySelector('main')?.textContent?.includes('being read'));
  await page.waitForFunction(() => document.querySelectorAll('.chart canvas').length >= 4);
  const opened = await page.evaluate(() => ({
    firstPaint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
    allDrawn: performance.now(),
  }));
  const session = await page.context().newCDPSession(page);
  // Of the page's main thread, so that other work on the machine counts for nothing.
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const taskSeconds = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN;
  };
  const frames = [];
  const cpu = [];
  for (let i = 0; i < flags.zooms; i++) {
    const before = await taskSeconds();
    frames.push(...(await page.evaluate(zoomOnce, i % 8 < 4 ? '+' : '-')));
    cpu.push(((await taskSeconds()) - before) * 1000);
  }
  const charts = await page.locator('.chart').count();
  const over = frames.filter((ms) => ms > 50).length;
  const shown = (values) =>
    `${median(values).toFixed(1)} ms in the median, ${Math.max(...values).toFixed(1)} ms at most`;
  console.log(`${flags.runs} runs of ${flags.points} points, ${charts} charts`);
  console.log(
    `first paint after ${opened.firstPaint.toFixed(0)} ms, all curves after ${opened.allDrawn.toFixed(0)} ms`,
  );
  console.log(
    `between frames of ${flags.zooms} zooms: ${shown(frames)}, ${over} of ${frames.length} over 50 ms`,
  );
  console.log(`processor time of the page for a zoom, all its ${FRAMES} frames: ${shown(cpu)}`);
  finish(flags.results, 'dashboard', machine, { settings: flags, opened, charts, frames, cpu });
} finally {
  await browser.close();
  await served.close();
}

/** In the page: presses a key of the zoom, and waits until all that is in view is drawn. */
async function zoomOnce(key) {
  const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const times = [await next()];
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  for (let frame = 0; frame < 8; frame++) times.push(await next());
  return times.slice(1).map((time, i) => time - times[i]);
}
