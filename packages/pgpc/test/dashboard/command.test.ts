// `pgpc dashboard` and `pgpc train --dashboard`, from their first line to their last.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import type { RunList } from '../../src/dashboard/protocol.js';
import { writeFakeRun } from '../support/fake-run.js';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'pgpc-dashboard-'));
  await writeFakeRun(path.join(folder, 'runs'), { name: 'before', samples: 0 });
});
afterAll(() => rmSync(folder, { recursive: true }));

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    this.emit('text');
    callback();
  }
}

/** Starts a command, up to the line that says the address. */
async function start(...args: string[]) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  const controller = new AbortController();
  const ended = main(args, { stdout, stderr, signal: controller.signal, env: {} });
  const address = await Promise.race([
    ended.then(() => undefined),
    new Promise<string>((resolve) => {
      stdout.on('text', () => {
        const [, said] = /^dashboard: (\S+)\n/m.exec(stdout.text) ?? [];
        if (said) resolve(said);
      });
    }),
  ]);
  return { address, ended, stdout, stderr, stop: () => controller.abort() };
}

const labels = async (address: string) => {
  const { runs } = (await (await fetch(`${address}api/runs`)).json()) as RunList;
  return runs.map(({ label }) => label);
};

test('dashboard prints its address, serves until it is stopped, and ends', async () => {
  const runs = path.join(folder, 'runs');
  const { address, ended, stop } = await start('dashboard', runs, path.join(runs, 'before'));
  expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  expect(await labels(address!)).toEqual(['before']);
  const page = await (await fetch(address!)).text();
  for (const [, part] of page.matchAll(/(?:href|src)="(\/[^"]*)"/g)) {
    expect([part, (await fetch(new URL(part!, address))).status]).toEqual([part, 200]);
  }
  stop();
  expect(await ended).toBe(130);
  await expect(fetch(address!)).rejects.toThrow();
});

test('another host has a token in its address', async () => {
  const { address, ended, stop } = await start('dashboard', folder, '--host', '0.0.0.0');
  expect(address).toMatch(/^http:\/\/0\.0\.0\.0:\d+\/\?token=[\w-]{32}$/);
  stop();
  await ended;
});

test('what cannot be served is said', async () => {
  for (const [args, code, message] of [
    [[path.join(folder, 'nowhere')], 2, "nowhere': there is no such folder"],
    [[folder, '--port', '70000'], 2, "'70000': must be a whole number from 1 to 65535"],
    [[folder, '--host', 'a b'], 2, 'must be a name or a number of this machine'],
    [[folder, '--host', '203.0.113.7'], 1, 'this machine has no such address: choose another --host'],
  ] as const) {
    const { ended, stderr } = await start('dashboard', ...args);
    expect([await ended, stderr.text]).toEqual([code, expect.stringContaining(message)]);
  }
});

test('train --dashboard serves the runs while it trains, and ends with the training', async () => {
  const counts = { sourceTrain: 1, sourceVal: 0, targetTrain: 1, targetVal: 1 };
  const data = path.join(folder, 'data');
  await writeStreetSynth(data, { seed: 3, ...counts, width: 64 });
  const { address, ended, stdout, stderr } = await start(
    ...['train', '--dashboard', '--out', path.join(folder, 'runs'), '--name', 'trained'],
    ...['--source-root', path.join(data, 'gta5'), '--target-root', path.join(data, 'cityscapes')],
    ...['--method', 'source-only', '--crop', '32x32', '--batch', '1', '--iterations', '2', '--workers', '0'],
    ...['--set', 'segmentor.head=segformer', '--set', 'segmentor.channels=16'],
    ...['--device', 'cpu', '--no-memory-check'],
  );
  // Said before the run's own folder, and before anything is read.
  expect(stdout.text).toMatch(/^dashboard: /);
  const seen = new Set<string>();
  const state = { over: false };
  void ended.then(() => {
    state.over = true;
  });
  while (!state.over) {
    // The last question may come too late.
    for (const label of await labels(address!).catch(() => [])) seen.add(label);
    await setTimeout(50);
  }
  expect([await ended, stderr.text]).toEqual([
    0,
    expect.stringContaining(
      `the dashboard has ended with the training; \`pgpc dashboard ${path.join(folder, 'runs')}\` shows it again`,
    ),
  ]);
  expect([...seen]).toEqual(['before', 'trained']);
  await expect(fetch(address!)).rejects.toThrow();
}, 120_000);
