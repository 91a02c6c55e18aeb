// `pgpc bench` from the command line to what it prints and writes.

import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { buildInfo } from '@pgpc/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'pgpc-bench-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function bench(args: readonly string[], signal = new AbortController().signal) {
  const written = { stdout: '', stderr: '' };
  const into = (name: keyof typeof written) =>
    new Writable({
      write(chunk, _encoding, done) {
        written[name] += chunk;
        done();
      },
    });
  const small = ['--crop', '64x32', '--batch', '1', '--threads', '1', '--steps', '2', '--warm-up', '1'];
  const code = await main(['bench', ...small, ...args], {
    stdout: into('stdout'),
    stderr: into('stderr'),
    signal,
    env: {},
  });
  return { code, ...written };
}

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe('pgpc bench', () => {
  test('times the parts of a step, and names what it ran on', async () => {
    const file = path.join(folder, 'times.json');
    const began = performance.now();
    const { code, stdout, stderr } = await bench(['--method', 'daformer', '--json', file]);
    const took = performance.now() - began;
    expect(stderr).not.toContain('pgpc: ');
    expect(code).toBe(0);
    const { libtorch, ...info } = buildInfo();
    const blas = existsSync(info.blas) ? realpathSync(info.blas) : info.blas;
    expect(stdout).toContain('mit-b0, daformer, 1 + 1 images of 64 x 32, 2 steps after 1\n');
    expect(stdout).toContain(`1 threads; libtorch ${libtorch}, ${blas}\n`);
    const { settings, machine, times, iterationsPerSecond, peakBytes } = json(file);
    expect(settings).toMatchObject({ network: 'mit-b0', method: 'daformer', batch: 1, steps: 2, warmUp: 1 });
    expect(machine).toMatchObject({ libtorch, blas, threads: 1 });
    expect(times).toHaveLength(2);
    for (const { data, step } of times) {
      expect(data).toBeGreaterThan(0);
      expect(step).toBeGreaterThan(data);
    }
    const all = times.map(({ data, step }: { data: number; step: number }) => data + step);
    expect(sum(all)).toBeLessThan(took);
    // The median of two is their mean.
    expect(iterationsPerSecond).toBeCloseTo(2000 / sum(all), 6);
    expect(stdout).toContain(`${iterationsPerSecond.toPrecision(3)} it/s; 40,000 iterations take `);
    expect(peakBytes).toBeGreaterThan(process.memoryUsage().rss / 2);
    expect(stdout).toMatch(/^data .*\nstep .*\nall .* 100\.0$/m);
  });

  test('the step of source-only takes no target images', async () => {
    const { code, stdout } = await bench(['--method', 'source-only']);
    expect(code).toBe(0);
    expect(stdout).toContain('mit-b0, source-only, 1 images of 64 x 32');
  });

  test('takes what is added to a method, and names it', async () => {
    const file = path.join(folder, 'added.json');
    const added = ['--method', 'pgpc-plus', '--style', 'dcan', '--denoise', 'prototypes'];
    const set = ['--set', 'method.denoise.where=labels'];
    const { code, stdout } = await bench([...added, ...set, '--json', file]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      'mit-b0, pgpc-plus + dcan + prototypes, method.denoise.where "labels", 1 + 1 images',
    );
    expect(json(file).settings).toMatchObject({
      style: 'dcan',
      denoise: 'prototypes',
      set: { 'method.denoise.where': 'labels' },
    });
  });

  test('refuses a setting that the method has no part for', async () => {
    const { code, stderr } = await bench([
      '--method',
      'self-training',
      '--set',
      'method.denoise.where=labels',
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/setting method.denoise.where: this experiment has no method.denoise/);
  });

  test('--activation-checkpointing runs what is trained twice, and says so', async () => {
    const file = path.join(folder, 'checkpointing.json');
    const { code, stdout } = await bench(['--activation-checkpointing', '--profile', '--json', file]);
    expect(code).toBe(0);
    expect(stdout).toContain('2 steps after 1, activation checkpointing\n');
    const { modules, settings } = json(file);
    expect(settings.activationCheckpointing).toBe(true);
    const row = (network: string) =>
      modules.find(({ name }: { name: string }) => name === `${network}.segmentor.backbone.block3.1`);
    // The source and the mixed images, and each once more on the way back.
    expect(row('student').calls).toBe(4);
    expect(row('student').backward).toBeGreaterThan(0);
    expect(row('teacher').calls).toBe(1);
  });

  test('--profile shows modules and operators, and writes all of them and a trace', async () => {
    const [file, trace] = [path.join(folder, 'profile.json'), path.join(folder, 'trace.json')];
    const { code, stdout } = await bench(['--profile', '--top', '5', '--json', file, '--trace', trace]);
    expect(code).toBe(0);
    const { modules, operators, stepMs, operatorMs } = json(file);
    const module = (name: string) => modules.find((row: { name: string }) => row.name === name);

    // A step calls the student's network twice, the teacher's once and the frozen encoder once, whatever the count of
    // steps; gradients flow in the student alone.
    expect(module('student.segmentor').calls).toBe(2);
    expect(module('teacher.segmentor').calls).toBe(1);
    expect(module('frozen').calls).toBe(1);
    expect(module('student.segmentor').backward).toBeGreaterThan(0.2 * module('student.segmentor').total);
    expect(module('teacher').backward).toBe(0);
    expect(module('frozen').backward).toBe(0);
    // What is under a module and its own time make up the whole of it.
    const children = modules.filter(({ name }: { name: string }) => /^student\.segmentor\.[^.]+$/.test(name));
    const whole = module('student.segmentor');
    expect(children.map(({ name }: { name: string }) => name).toSorted()).toEqual([
      'student.segmentor.backbone',
      'student.segmentor.decode_head',
    ]);
    expect(whole.self + sum(children.map(({ total }: { total: number }) => total))).toBeCloseTo(
      whole.total,
      6,
    );

    // Every instant is one row's own.
    expect(sum(operators.map(({ self }: { self: number }) => self))).toBeCloseTo(operatorMs, 6);
    expect(sum(modules.map(({ self }: { self: number }) => self))).toBeLessThan(stepMs);
    expect(operatorMs).toBeGreaterThan(0.3 * stepMs);

    const [moduleTable, operatorTable] = stdout.split('\n\n').slice(1) as [string, string];
    const names = (table: string) =>
      table
        .split('\n')
        .slice(2)
        .map((line) => line.split(/ {2,}/)[0]);
    expect(names(moduleTable)).toEqual(
      modules.slice(0, 5).map(({ name }: { name: string }) => name || '(no module)'),
    );
    expect(names(operatorTable)).toEqual(operators.slice(0, 5).map(({ name }: { name: string }) => name));
    expect(stdout).toContain(`--top ${Math.max(modules.length, operators.length)} shows all rows`);

    const { traceEvents } = json(trace);
    const counted = sum(operators.map(({ calls }: { calls: number }) => calls)) * 2;
    const events = traceEvents.filter(({ cat }: { cat: string }) => cat !== 'module');
    expect(events).toHaveLength(counted);
    expect(traceEvents[0]).toMatchObject({ ph: 'X', ts: expect.any(Number), dur: expect.any(Number) });
  });

  test('refuses what belongs to the profile without it', async () => {
    const { code, stderr } = await bench(['--trace', path.join(folder, 'none.json')]);
    expect(code).toBe(2);
    expect(stderr).toBe('pgpc: --trace goes with --profile\n');
    expect(await bench(['--top', '3'])).toMatchObject({
      code: 2,
      stderr: 'pgpc: --top goes with --profile\n',
    });
    expect(existsSync(path.join(folder, 'none.json'))).toBe(false);
  });

  test.each([[[]], [['--profile']]])('stops at a step when it is told to, %j', async (flags) => {
    const { code, stderr } = await bench([...flags, '--warm-up', '100000'], AbortSignal.timeout(300));
    expect(stderr).toMatch(/pgpc: stopped\n$/);
    expect(code).toBe(130);
  });
});
