// Logs for other tools: event files byte by byte and as TensorBoard itself reads them, tables, and `pgpc log`.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { PbfReader } from 'pbf';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { crc32c } from '../../src/training/logs/crc32c.js';
import { EventFile } from '../../src/training/logs/event-file.js';
import { csvOf } from '../../src/training/logs/export.js';
import { RunLog } from '../../src/training/logs/run-log.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { writeFakeRun } from '../support/fake-run.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-logs-'));
afterAll(() => rmSync(folder, { recursive: true }));

test("CRC-32C of RFC 3720's examples (B.4)", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
});

interface Read {
  wall: number;
  step: number;
  version?: string;
  status?: number;
  values: Record<string, unknown>;
}

/** The events of a file, by the definition of both of its layers; a wrong checksum is an error. */
function eventsOf(file: string): Read[] {
  const bytes = readFileSync(file);
  const events: Read[] = [];
  const check = (from: number, to: number) => {
    const crc = crc32c(bytes.subarray(from, to));
    const masked = (BigInt((crc >>> 15) | (crc << 17)) + 0xa282ead8n) & 0xffffffffn;
    expect(BigInt(bytes.readUInt32LE(to))).toBe(masked);
  };
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    check(at, at + 8);
    check(at + 12, at + 12 + length);
    const event: Read = { wall: Number.NaN, step: 0, values: {} };
    new PbfReader(bytes.subarray(at + 12, at + 12 + length)).readFields((tag, into, pbf) => {
      if (tag === 1) into.wall = pbf.readDouble();
      if (tag === 2) into.step = pbf.readVarint();
      if (tag === 3) into.version = pbf.readString();
      if (tag === 7) {
        pbf.readMessage((inner, event, log) => {
          if (inner === 1) event.status = log.readVarint();
        }, into);
      }
      if (tag === 5) pbf.readMessage((_, values, summary) => readValue(values, summary), into.values);
    }, event);
    events.push(event);
    at += 16 + length;
  }
  return events;
}

function readValue(values: Record<string, unknown>, summary: PbfReader): void {
  const one = summary.readMessage(
    (tag, into, pbf) => {
      if (tag === 1) into.tag = pbf.readString();
      if (tag === 2) into.value = pbf.readFloat();
      if (tag === 4) {
        into.value = pbf.readMessage(
          (inner, picture, image) => {
            if (inner === 1) picture.height = image.readVarint();
            if (inner === 2) picture.width = image.readVarint();
            if (inner === 3) picture.colorspace = image.readVarint();
            if (inner === 4) picture.png = new Uint8Array(image.readBytes());
          },
          {} as Record<string, unknown>,
        );
      }
    },
    { tag: '', value: undefined as unknown },
  );
  values[one.tag] = one.value;
}

const picture = async () => ({
  png: await sharp({ create: { width: 6, height: 4, channels: 3, background: '#804080' } })
    .png()
    .toBuffer(),
  width: 6,
  height: 4,
});

describe('an event file', () => {
  test('holds numbers of any kind, pictures, and the start of a resumed training', async () => {
    const shown = await picture();
    const file = EventFile.create(join(folder, 'events'), '1.here', 1_700_000_000.25, 2 ** 33);
    file.write({ step: 2 ** 33, wall: 1_700_000_001.5 }, { 'loss/total': 0.5, lr: 6e-5, bad: Number.NaN });
    file.write({ step: 2 ** 33 + 1, wall: 1_700_000_002 }, { 'target 1/image': shown });
    expect(eventsOf(file.path)).toEqual([
      { wall: 1_700_000_000.25, step: 0, version: 'brain.Event:2', values: {} },
      { wall: 1_700_000_000.25, step: 2 ** 33, status: 1, values: {} },
      {
        wall: 1_700_000_001.5,
        step: 2 ** 33,
        values: { 'loss/total': 0.5, lr: Math.fround(6e-5), bad: Number.NaN },
      },
      {
        wall: 1_700_000_002,
        step: 2 ** 33 + 1,
        values: { 'target 1/image': { height: 4, width: 6, colorspace: 3, png: new Uint8Array(shown.png) } },
      },
    ]);
  });

  const python = process.env.PYTHON ?? 'python3';
  const hasTensorboard = (() => {
    try {
      execFileSync(python, ['-c', 'import tensorboard'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();

  // PYTHON names an interpreter whose packages have tensorboard (pip install tensorboard).
  test.skipIf(!hasTensorboard)('is read by TensorBoard itself', async () => {
    const into = join(folder, 'read');
    const file = EventFile.create(into, '1.here', 1_700_000_000);
    for (const step of [10, 20]) file.write({ step, wall: 1_700_000_000 + step }, { q: step / 100 });
    file.write({ step: 20, wall: 1_700_000_030 }, { 'target 1/image': await picture() });
    // Of what the first has from step 20 on, the values of the resumed training take the place.
    const resumed = EventFile.create(into, '2.here', 1_700_000_100, 20);
    resumed.write({ step: 20, wall: 1_700_000_101 }, { q: 0.75 });
    const script = [
      'import json, sys',
      'from tensorboard.backend.event_processing.event_accumulator import EventAccumulator',
      'read = EventAccumulator(sys.argv[1]); read.Reload()',
      'q = [[one.step, one.wall_time, round(one.value, 6)] for one in read.Scalars("q")]',
      'pictures = [[one.step, one.width, one.height] for one in read.Images("target 1/image")]',
      'print(json.dumps({"q": q, "pictures": pictures}))',
    ];
    const said = execFileSync(python, ['-c', script.join('\n'), into], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(JSON.parse(said.toString())).toEqual({
      q: [
        [10, 1_700_000_010, 0.1],
        [20, 1_700_000_101, 0.75],
      ],
      pictures: [],
    });
  });
});

test('a training that is resumed within a second has an event file of its own', () => {
  const run = mkdtempSync(join(tmpdir(), 'pgpc-run-log-'));
  const began = Math.floor(Date.now() / 1000);
  for (const resumedAt of [undefined, 1, 2]) {
    new RunLog(run, ['tensorboard'], [], resumedAt).write(3, { loss: 1 });
  }
  const names = readdirSync(join(run, 'tensorboard'));
  const seconds = Math.floor(Date.now() / 1000) - began + 1;
  rmSync(run, { recursive: true });
  expect(names).toHaveLength(3);
  // Else they would have had names of their own in any case.
  expect(seconds).toBeLessThan(3);
});

describe('pgpc log', () => {
  let run: string;
  beforeAll(async () => {
    run = (await writeFakeRun(folder, { name: 'logged', samples: 0, seeds: [1, 2] })).path;
  });

  async function log(...args: string[]) {
    const text = { out: '', err: '' };
    const sink = (name: 'out' | 'err') =>
      new Writable({
        write(chunk, _encoding, callback) {
          text[name] += chunk.toString();
          callback();
        },
      });
    const { signal } = new AbortController();
    const code = await main(['log', ...args], { stdout: sink('out'), stderr: sink('err'), signal });
    return { code, ...text };
  }

  test('writes a table with every value once', async () => {
    const { code, out } = await log(run, '--to', 'csv');
    expect([code, out]).toEqual([0, `${join(run, 'metrics.csv')}\n`]);
    const [head, ...rows] = readFileSync(join(run, 'metrics.csv'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(','));
    const { metrics } = openRun(run);
    expect(rows).toHaveLength(metrics.length);
    for (const [i, { phase, seed, iteration, values }] of metrics.entries()) {
      expect(rows[i]!.slice(0, 3)).toEqual([phase, String(seed), String(iteration)]);
      for (const [at, name] of head!.entries()) {
        if (at > 3) expect(rows[i]![at]).toBe(name in values ? String(values[name]) : '');
      }
    }
  });

  test('quotes what would be taken for two fields, and tells what is missing from what is not a number', () => {
    const at = { phase: 'a,b', iteration: 1, wall: 0.5 };
    expect(
      csvOf([
        { ...at, values: { 'say "x"': 1 } },
        { ...at, values: { y: Number.NaN } },
      ]),
    ).toBe('phase,seed,iteration,wall,"say ""x""",y\n"a,b",,1,0.5,1,\n"a,b",,1,0.5,,NaN\n');
  });

  test('writes event files, one a phase and seed, and the same again in their place', async () => {
    const out = join(folder, 'board');
    for (let i = 0; i < 2; i++) {
      expect(await log(run, '--to', 'tensorboard', '--out', out)).toEqual({
        code: 0,
        out: `${out}\n`,
        err: '',
      });
    }
    const phases = ['pgpc', 'self-training', 'source-only'];
    expect(readdirSync(out).sort()).toEqual(phases.flatMap((phase) => [`${phase}-seed1`, `${phase}-seed2`]));
    const inOne = join(out, 'pgpc-seed2');
    const [name, ...others] = readdirSync(inOne);
    expect([name, others]).toEqual([expect.stringMatching(/^events\.out\.tfevents\./), []]);
    const [, ...events] = eventsOf(join(inOne, name!));
    const { metrics, info } = openRun(run);
    const logged = metrics.filter(({ phase, seed }) => phase === 'pgpc' && seed === 2);
    expect(events.map(({ step, values }) => [step, values])).toEqual(
      logged.map(({ iteration, values }) => [
        iteration,
        Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Math.fround(value)])),
      ]),
    );
    expect(events[0]!.wall).toBeCloseTo(Date.parse(info.started) / 1000 + logged[0]!.wall, 3);
  });

  test('shows no value twice, and refuses what is no run', async () => {
    const out = join(folder, 'live');
    mkdirSync(join(out, 'pgpc-seed1'), { recursive: true });
    writeFileSync(join(out, 'pgpc-seed1/events.out.tfevents.1.host'), '');
    const twice = await log(run, '--to', 'tensorboard', '--out', out);
    expect([twice.code, twice.err]).toEqual([1, expect.stringMatching(/a training has logged here itself/)]);
    const none = await log(out, '--to', 'csv');
    expect([none.code, none.err]).toEqual([
      1,
      expect.stringMatching(/live is no run directory: it has no run/),
    ]);
  });
});
