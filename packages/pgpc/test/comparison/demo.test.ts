// The demo, `train` and `eval` as a user runs them: the built command line, in an empty folder.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { locateModel } from '../../src/models/locate.js';
import { shippedEncoder } from '../../src/models/weights/shipped.js';
import { openRun } from '../../src/training/run-directory/open-run.js';

const program = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpc-demo-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(...args: string[]): {
  child: ChildProcess;
  ended: Promise<Outcome>;
  said: (text: string) => Promise<void>;
} {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout!.on('data', (data) => {
    output.stdout += data;
  });
  child.stderr!.on('data', (data) => {
    output.stderr += data;
  });
  const ended = new Promise<Outcome>((resolve) => child.on('close', (code) => resolve({ code, ...output })));
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => output.stderr.includes(text) && resolve();
      child.stderr!.on('data', look);
      child.on('close', () => reject(new Error(`ended without saying '${text}': ${output.stderr}`)));
      look();
    });
  return { child, ended, said };
}

const pgpc = (...args: string[]) => start(...args).ended;
const methods = ['source-only', 'self-training', 'pgpc', 'pgpc-plus', 'oracle'];

/** For NODE_OPTIONS: every disk has ten megabytes free. */
const SMALL_DISK = `--import=data:text/javascript,${encodeURIComponent(
  "import fs from 'node:fs';import { syncBuiltinESMExports } from 'node:module';" +
    'fs.statfsSync = () => ({ bavail: 2441, bsize: 4096, blocks: 1e6 });syncBuiltinESMExports();',
)}`;

describe('pgpc demo --quick', () => {
  let outcome: Outcome;
  const began = performance.now();
  let seconds: number;
  beforeAll(async () => {
    outcome = await pgpc('demo', '--quick', '--seed', '3');
    seconds = (performance.now() - began) / 1000;
  }, 180_000);
  const run = () => openRun(join(folder, 'runs/demo-quick'));

  test('ends well within the time that it promises', () => {
    expect(outcome.stderr).not.toContain('pgpc: ');
    expect(outcome.code).toBe(0);
    expect(seconds).toBeLessThan(90);
  });

  test('prints IoU per class and mIoU of every method, as the run directory has them', () => {
    const { results, info } = run();
    expect(results.map(({ name }) => name)).toEqual(methods);
    const means = outcome.stdout
      .match(/^mIoU .*$/m)![0]
      .split(/\s+/)
      .slice(1)
      .map(Number);
    expect(means).toEqual(results.map(({ miou }) => Number((100 * miou).toFixed(1))));
    for (const { name } of info.classes) expect(outcome.stdout).toMatch(new RegExp(`^${name} `, 'm'));
    expect(outcome.stdout).toContain(
      `From ${shippedEncoder.description}, which are of neither domain here, a net`,
    );
    expect(info).toMatchObject({ status: 'finished', seed: 3, config: { weights: 'street-synth' } });
    const next = outcome.stdout.slice(outcome.stdout.indexOf('\nnext:\n'));
    expect(next.match(/pgpc \w+/g)).toEqual(['pgpc predict', 'pgpc export', 'pgpc try']);
    // The run itself names the network that these commands take.
    expect(locateModel(join(folder, 'runs/demo-quick'))).toContain('checkpoints/pgpc-plus/');
  });

  test('logs finite losses of every phase', () => {
    const { metrics } = run();
    expect(new Set(metrics.map(({ phase }) => phase))).toEqual(new Set(['source', ...methods]));
    for (const { values } of metrics) expect(Object.values(values).every(Number.isFinite)).toBe(true);
    expect(metrics.findLast(({ phase }) => phase === 'pgpc')!.values['loss/contrast']).toBeGreaterThan(0);
  });

  test('writes a report with pictures of every method', () => {
    const html = readFileSync(join(folder, 'runs/demo-quick/report.html'), 'utf8');
    expect(html).toContain('data:image/png;base64,');
    const pictures = readdirSync(join(folder, 'runs/demo-quick/pictures'));
    for (const method of methods) expect(pictures.some((file) => file.endsWith(`-${method}.png`))).toBe(true);
  });

  test('keeps four pictures of each target image over every training', () => {
    const { target } = run().pictures!;
    expect(target).toHaveLength(4);
    const seen = { prediction: 4, right: 4 };
    const taught = { ...seen, 'pseudo-label': 4, confidence: 4 };
    const contrasted = { ...taught, entropy: 4, anchors: 4 };
    const kinds = {
      ...{ 'source-only': seen, oracle: seen, 'self-training': taught },
      // PGPC+ pushes from prototypes: no pixel is a negative.
      ...{ pgpc: { ...contrasted, negatives: 4 }, 'pgpc-plus': contrasted },
    };
    const steps = { short: [3, 6, 9, 12], oracle: [11, 22, 33, 42] };
    for (const { checkpoints } of target) {
      for (const method of methods) {
        const own = checkpoints!.filter((one) => one.method === method);
        expect(own.map(({ iteration }) => iteration)).toEqual(
          method === 'oracle' ? steps.oracle : steps.short,
        );
        const counts: Record<string, number> = {};
        for (const { pictures } of own) {
          for (const [kind, file] of Object.entries(pictures)) {
            counts[kind] = (counts[kind] ?? 0) + 1;
            expect(existsSync(join(folder, 'runs/demo-quick/pictures', file))).toBe(true);
          }
        }
        expect([method, counts]).toEqual([method, kinds[method as keyof typeof kinds]]);
      }
    }
    // What is learned moves: the first picture of a training is not its last.
    const [first, , , last] = target[0]!.checkpoints!.filter(({ method }) => method === 'oracle');
    const bytes = (file: string) => readFileSync(join(folder, 'runs/demo-quick/pictures', file));
    expect(bytes(first!.pictures.prediction!).equals(bytes(last!.pictures.prediction!))).toBe(false);
    const html = readFileSync(join(folder, 'runs/demo-quick/report.html'), 'utf8');
    expect(html.match(/<div class="way">/g)).toHaveLength(methods.length);
    expect(html).not.toContain(' is missing</div>');
  });

  test('says where the disk has too little room for all its trainings, before the first', async () => {
    process.env.NODE_OPTIONS = SMALL_DISK;
    const { code, stderr } = await pgpc('demo', '--quick', '--name', 'small').finally(() => {
      delete process.env.NODE_OPTIONS;
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /small: the trainings need \d+ MB more on this disk \(\d+ MB that stay of the checkpoints and models of 6 trainings, .*, and 10 MB are free/,
    );
    expect(existsSync(join(folder, 'runs/small/metrics.jsonl'))).toBe(false);
  });

  test('leaves checkpoints from which eval gives the same scores', async () => {
    const data = ['--target-root', 'data/street-synth-1-quick/cityscapes', '--split', 'val'];
    const checkpoint = 'runs/demo-quick/checkpoints/pgpc';
    const evaluated = await pgpc(
      'eval',
      '--checkpoint',
      checkpoint,
      ...data,
      '--save-predictions',
      'predicted',
    );
    expect(evaluated.code).toBe(0);
    const { miou } = run().results.find(({ name }) => name === 'pgpc')!;
    expect(evaluated.stdout).toMatch(new RegExp(`^mean of (\\d+ of )?19 +${(100 * miou).toFixed(1)} `, 'm'));
    expect(readdirSync(join(folder, 'predicted', 'synth')).length).toBe(6);
  }, 60_000);

  test('stops cleanly on Ctrl-C with what is there saved', async () => {
    const { child, ended, said } = start('demo', '--quick', '--name', 'interrupted', '--json');
    await said('source  ');
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    expect(code).toBe(130);
    const { info, results } = openRun(join(folder, 'runs/interrupted'));
    expect(info.status).toBe('stopped');
    const told = JSON.parse(stdout);
    expect(told).toMatchObject({ outcome: 'stopped', run: 'runs/interrupted' });
    // A training beside the source's may have ended by then, and none that starts from it.
    expect(told.results.map(({ name }: { name: string }) => name)).toEqual(results.map(({ name }) => name));
    expect(['', 'oracle']).toContain(results.map(({ name }) => name).join());
    expect(existsSync(join(folder, 'runs/interrupted/checkpoints/source/model.safetensors'))).toBe(true);
    expect(existsSync(join(folder, 'runs/interrupted/report.html'))).toBe(true);
  }, 90_000);

  test('trains on folders, stops on Ctrl-C, and resumes to the end', async () => {
    const data = 'data/street-synth-1-quick';
    const roots = ['--source-root', `${data}/gta5`, '--target-root', `${data}/cityscapes`];
    const size = ['--iterations', '30', '--crop', '32x32', '--batch', '1'];
    const { child, ended } = start('train', ...roots, ...size, '--name', 'mine');
    // The first line of the log comes after ten steps.
    while (!existsSync(join(folder, 'runs/mine/metrics.jsonl'))) await setTimeout(50);
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    expect(openRun(join(folder, 'runs/mine')).info.status).toBe('stopped');
    const resumed = await pgpc('train', '--resume', 'runs/mine');
    expect(resumed.stderr).not.toContain('pgpc: ');
    expect(resumed.code).toBe(0);
    const { info, metrics, results } = openRun(join(folder, 'runs/mine'));
    expect(info.status).toBe('finished');
    expect(metrics.map(({ iteration }) => iteration)).toEqual([10, 20, 30]);
    expect(results.map(({ name }) => name)).toEqual(['pgpc']);
  }, 180_000);
});
