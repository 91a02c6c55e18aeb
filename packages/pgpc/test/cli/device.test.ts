// `--device` and `--precision` as a user gives them: what is refused, what a run says of itself, what resumes where.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { buildInfo } from '@pgpc/torch';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { chosenPrecision } from '../../src/config/precision.js';
import { chosenDevice } from '../../src/machine.js';
import { openRun } from '../../src/training/run-directory/open-run.js';

const folder = mkdtempSync(path.join(tmpdir(), 'pgpc-device-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { cuda } = buildInfo();

async function pgpc(...args: readonly string[]) {
  const said = { out: '', err: '' };
  const sink = (key: keyof typeof said) =>
    new Writable({
      write(chunk, _encoding, done) {
        said[key] += chunk;
        done();
      },
    });
  const { signal } = new AbortController();
  const code = await main(args, { stdout: sink('out'), stderr: sink('err'), signal, env: {} });
  return { code, ...said };
}

beforeAll(async () => {
  const pixel = (x: number, y: number) => (x < 24 ? 0 : y < 24 ? 1 : 2);
  for (const domain of ['source', 'target']) {
    for (const split of ['train', 'val']) {
      const images = path.join(folder, domain, 'images', split);
      const masks = path.join(folder, domain, 'masks', split);
      for (const made of [images, masks]) mkdirSync(made, { recursive: true });
      const label = Uint8Array.from({ length: 48 * 48 }, (_, i) => pixel(i % 48, Math.floor(i / 48)));
      const image = Uint8Array.from(
        { length: 3 * 48 * 48 },
        (_, i) => 80 * label[Math.floor(i / 3)]! + (i % 7),
      );
      for (const name of ['a', 'b']) {
        const raw = (channels: 1 | 3) => ({ raw: { width: 48, height: 48, channels } });
        await sharp(image, raw(3))
          .png()
          .toFile(path.join(images, `${name}.png`));
        await sharp(label, raw(1))
          .toColourspace('b-w')
          .png()
          .toFile(path.join(masks, `${name}.png`));
      }
    }
    writeFileSync(
      path.join(folder, domain, 'classes.yaml'),
      'classes:\n  - {name: left, value: 0}\n  - {name: top, value: 1}\n  - {name: bottom, value: 2}\n',
    );
  }
});

const roots = ['--source-root', path.join(folder, 'source'), '--target-root', path.join(folder, 'target')];
const tiny = [
  ...['--crop', '32x32', '--iterations', '3', '--no-memory-check', '--workers', '0'],
  ...['--set', 'segmentor.channels=16'],
];
const out = ['--out', path.join(folder, 'runs')];

describe('the device', () => {
  test('is the CPU or a GPU, by its full name', () => {
    expect(chosenDevice('cpu')).toBe('cpu');
    expect(chosenDevice('auto')).toBe(cuda ? 'cuda:0' : 'cpu');
    expect(chosenDevice('auto', { WORLD_SIZE: '2', LOCAL_RANK: '0' })).toBe(cuda ? 'cuda:0' : 'cpu');
  });

  test('of several processes on a machine is not one GPU', () => {
    const env = { WORLD_SIZE: '4', LOCAL_WORLD_SIZE: '2', LOCAL_RANK: '1' };
    expect(() => chosenDevice('cuda:0', env)).toThrow(
      '--device cuda:0: each of the 2 processes needs a GPU of its own; with --device cuda each takes one',
    );
  });

  test('is asked for its precision where none is given', () => {
    expect(chosenPrecision(undefined, 'cpu')).toEqual({});
    expect(chosenPrecision(undefined, 'cuda:1')).toEqual({ precision: 'bfloat16' });
    expect(chosenPrecision('float32', 'cuda:1')).toEqual({});
    expect(chosenPrecision('bfloat16', 'cpu')).toEqual({ precision: 'bfloat16' });
  });

  const commands = [
    ['train', ...roots],
    ['bench'],
    ['demo', '--out', path.join(folder, 'none')],
    ['ablate', 'methods', '--out', path.join(folder, 'none')],
    ['eval', '--checkpoint', folder, '--target-root', folder],
    ['predict', folder, folder, '--out', path.join(folder, 'none')],
  ];
  test.skipIf(cuda).each(commands)(
    'is refused in one line where there is no such GPU: %s',
    async (...args) => {
      const { code, out: printed, err } = await pgpc(...args, '--device', 'cuda:3');
      // What claims a folder says so first, and gives it back.
      expect([code, printed]).toEqual([1, expect.stringMatching(/^(run: .*\n)?$/)]);
      expect(err).toMatch(
        /^pgpc: --device cuda:3: there is no device 'cuda:3': .*; --device cpu computes without a GPU\n$/,
      );
    },
  );
});

describe('pgpc train', () => {
  const trainOnCpu = (name: string, precision: string) => {
    const where = ['--device', 'cpu', '--precision', precision];
    return pgpc('train', ...roots, ...tiny, ...out, ...where, '--name', name);
  };

  test('in bfloat16 on the CPU keeps the precision as part of the experiment, and the device beside it', async () => {
    const trained = await trainOnCpu('half', 'bfloat16');
    expect(trained.err).toMatch(/^cpu, bfloat16$/m);
    expect(trained.code).toBe(0);
    const { info } = openRun(path.join(folder, 'runs/half'));
    expect(info.device).toBe('cpu');
    expect(info.config.experiment).toMatchObject({ precision: 'bfloat16' });
    expect(info.versions).not.toHaveProperty('device');
    expect(trained.out).toMatch(/^mIoU +\d/m);
  }, 60_000);

  test('in float32 names no precision, and resumes on a device that is said', async () => {
    const precise = await trainOnCpu('single', 'float32');
    expect(precise.code).toBe(0);
    const run = path.join(folder, 'runs/single');
    expect(openRun(run).info.config.experiment).not.toHaveProperty('precision');
    // As if it had been trained elsewhere.
    const elsewhere = path.join(folder, 'runs/elsewhere');
    cpSync(run, elsewhere, { recursive: true });
    const file = path.join(elsewhere, 'run.json');
    const info = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...info, device: 'cuda:0 (Some Card)' }));
    const refused = await pgpc('train', '--resume', elsewhere, '--device', 'cpu');
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringContaining('the device is cpu instead of cuda:0 (Some Card)'),
    ]);
    const resumed = await pgpc('train', '--resume', elsewhere, '--device', 'cpu', '--allow-changed');
    expect(resumed.err).not.toContain('pgpc:');
    expect(resumed.code).toBe(0);
    expect(openRun(elsewhere).info.device).toBe('cuda:0 (Some Card), then cpu');
    await pgpc('train', '--resume', elsewhere, '--device', 'cpu');
    expect(openRun(elsewhere).info.device).toBe('cuda:0 (Some Card), then cpu');
  }, 60_000);
});

test('pgpc bench names precision and device where they are not the usual ones', async () => {
  const file = path.join(folder, 'bench.json');
  const small = ['--crop', '64x32', '--batch', '1', '--threads', '1', '--steps', '1', '--warm-up', '1'];
  const { code, out: printed } = await pgpc(
    'bench',
    ...small,
    '--device',
    'cpu',
    '--precision',
    'bfloat16',
    '--json',
    file,
  );
  expect(code).toBe(0);
  expect(printed).toMatch(/^cpu, bfloat16$/m);
  const { settings, machine, pipelinedMs } = JSON.parse(readFileSync(file, 'utf8'));
  expect([settings.precision, machine.device, pipelinedMs]).toEqual(['bfloat16', 'cpu', undefined]);
}, 60_000);
