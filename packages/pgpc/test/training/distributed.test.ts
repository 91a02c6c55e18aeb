// Training in several processes: the same weights as in one, the death of a rank, and the launcher.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeStreetSynth } from '@pgpc/street-synth';
import { Generator, loadSafetensors, ones, rand, type Tensor, tensor, tidy, type World } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { sampleCandidates } from '../../src/adaptation/contrast/sampling.js';
import type { Experiment } from '../../src/config/experiment.js';
import { methodConfig } from '../../src/config/method.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { CHECKPOINT_FILE } from '../../src/training/checkpoint-names.js';
import { joinGroup } from '../../src/training/distributed.js';
import { launchTraining } from '../../src/training/launch.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import type { LogEntry } from '../../src/training/trainer.js';
import { Sink } from '../support/command.js';
import { tinyContrast, tinySegmentor, tinySelfTraining } from '../support/method.js';

const RANK = fileURLToPath(new URL('./distributed-rank.mjs', import.meta.url));
const PGPC = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const DISTRIBUTED = new URL('../../dist/training/distributed.js', import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), 'pgpc-distributed-'));
afterAll(() => rmSync(folder, { recursive: true }));

const STEPS = 20;

function experiment(batch: number, seed = 7): Experiment {
  return {
    ...daformerRecipe({
      segmentor: { ...tinySegmentor, dropout: 0.1, dropPath: 0.1 },
      method: methodConfig('pgpc', {
        selfTraining: tinySelfTraining,
        contrast: { ...tinyContrast, warmup: 0.3 },
        featureDistance: { weight: 0.005, classes: [1, 2], minShare: 0.51 },
      }),
      iterations: STEPS,
      batch,
      crop: { width: 32, height: 32 },
      seed,
    }),
    rareClasses: undefined,
  };
}

interface Ended {
  code: number | null;
  signal: string | null;
  stderr: string;
  /** Milliseconds on one clock. */
  at: number;
}

async function runRank(config: object, env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [RANK, JSON.stringify(config)], {
    env: { ...process.env, OMP_NUM_THREADS: '1', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, stderr, at: performance.now() };
}

async function runTwoRanks(config: object): Promise<Ended[]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  const env = { MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port), WORLD_SIZE: '2' };
  return Promise.all(['0', '1'].map((rank) => runRank(config, { ...env, RANK: rank, LOCAL_RANK: rank })));
}

function made(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

const logOf = (out: string) => JSON.parse(readFileSync(join(out, 'log.json'), 'utf8')) as LogEntry[];

/** With some seeds a pixel comes so near to a threshold, or to a second class, that rounding tips it: losses then differ by
 * that pixel for a step, and weights by a little. Which seeds these are depends on the processor. */
const SEEDS = [7, 9, 10];

test('two processes train to the weights of one with both batches, also when one of them died on the way', async () => {
  const apart: string[][] = [];
  for (const seed of SEEDS) {
    apart.push(await differences(seed));
    if (apart.at(-1)!.length === 0) return;
  }
  expect(apart).toEqual(SEEDS.map(() => []));
}, 240_000);

/** What of a training by two processes is not that by one, up to rounding. */
async function differences(seed: number): Promise<string[]> {
  const [one, two] = [made(`one-${seed}`), made(`two-${seed}`)];
  const apart: string[] = [];
  const [alone, [first, second]] = await Promise.all([
    runRank({ experiment: experiment(4, seed), out: one }),
    runTwoRanks({ experiment: experiment(2, seed), out: two, dieAt: 12 }) as Promise<[Ended, Ended]>,
  ]);
  expect([alone.code, alone.stderr]).toEqual([0, '']);
  expect(second.signal).toBe('SIGKILL');
  expect(first.code).toBe(1);
  expect(first.stderr).toMatch(/rank 0 of 2 lost another rank, which has ended or hangs/);
  expect(first.at - second.at).toBeLessThan(10_000);

  // The last checkpoint is of step 10.
  const again = await runTwoRanks({ experiment: experiment(2, seed), out: two, restore: two });
  expect(again.map(({ code, stderr }) => [code, stderr])).toEqual([
    [0, ''],
    [0, ''],
  ]);
  const expected = logOf(one);
  const log = logOf(two);
  expect(log.map(({ iteration }) => iteration)).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  for (const [i, { values }] of log.entries()) {
    const wanted = expected[10 + i]!.values;
    expect(Object.keys(values)).toEqual(Object.keys(wanted));
    for (const [name, value] of Object.entries(values)) {
      // A pixel that rounding tips moves a loss by less than this.
      expect([i, name, value]).toEqual([i, name, expect.closeTo(wanted[name]!, 2)]);
      if (!(Math.abs(value - wanted[name]!) < 5e-5)) apart.push(`step ${11 + i}: ${name}`);
    }
    expect(values['loss/contrast']).toBeGreaterThan(0);
  }
  expect(expected.some(({ values }) => values['loss/feature-distance']! > 0)).toBe(true);

  const [left, right] = [one, two].map((out) => loadSafetensors(join(out, CHECKPOINT_FILE)).tensors) as [
    Map<string, Tensor>,
    Map<string, Tensor>,
  ];
  // The experiments differ in the batch alone; the generators have drawn the same numbers.
  expect([...right.keys()]).toEqual([...left.keys()]);
  let moved = 0;
  for (const [name, value] of left) {
    tidy(() => {
      const [a, b] = [value.to('float64'), right.get(name)!.to('float64')];
      const far = a.sub(b).abs().max().item() / Math.max(1, a.abs().max().item());
      expect([name, far]).toEqual([name, expect.closeTo(0, 2)]);
      if (!(far <= 1e-5)) apart.push(name);
      if (name.startsWith('student.')) {
        const teacher = left.get(name.replace('student', 'teacher'))!.to('float64');
        moved = Math.max(moved, a.sub(teacher).abs().max().item());
      }
    });
  }
  // What is compared is no weight that stayed where it was: even the teacher's lag is ten times as far.
  expect(moved).toBeGreaterThan(1e-4);
  return apart;
}

test('so do two that recompute their activations', async () => {
  const steps = 3;
  const [one, two] = [made('plain'), made('checkpointed')];
  const checkpointed = { ...experiment(2), iterations: steps, activationCheckpointing: true };
  const ended = await Promise.all([
    runRank({ experiment: { ...experiment(4), iterations: steps }, out: one }),
    runTwoRanks({ experiment: checkpointed, out: two }),
  ]);
  expect(ended.flat().map(({ code, stderr }) => [code, stderr])).toEqual(Array(3).fill([0, '']));
  const [plain, twice] = [one, two].map((out) => loadSafetensors(join(out, CHECKPOINT_FILE)).tensors) as [
    Map<string, Tensor>,
    Map<string, Tensor>,
  ];
  expect([...twice.keys()]).toEqual([...plain.keys()]);
  for (const [name, value] of plain) {
    tidy(() => {
      const [a, b] = [value.to('float64'), twice.get(name)!.to('float64')];
      const apart = a.sub(b).abs().max().item() / Math.max(1, a.abs().max().item());
      expect([name, apart <= 1e-5]).toEqual([name, true]);
    });
  }
}, 60_000);

/** Every rank of a world of `size`, one after the other, as `use` sees it; collectives are not called. */
function ofEachRank<T>(size: number, use: (world: World) => T): T[] {
  const unused = () => {
    throw new Error('not called here');
  };
  return Array.from({ length: size }, (_, rank) =>
    use({
      rank,
      size,
      sum: unused,
      mean: unused,
      gather: unused,
      part: (x, axis = 0) => x.narrow(axis, (rank * x.shape[axis]!) / size, x.shape[axis]! / size),
    }),
  );
}

test.each([8, 9])('%i ranks sample from streams that differ and leave the generator alike', (size) => {
  const after = new Set<string>();
  const keys = ofEachRank(size, (world) => {
    const generator = new Generator(3);
    const { key } = sampleCandidates(ones([2, 50], { dtype: 'bool' }), 4, generator, world);
    after.add(JSON.stringify(rand([3], { generator }).tolist()));
    return JSON.stringify(key.tolist());
  });
  expect(new Set(keys).size).toBe(size);
  expect(after.size).toBe(1);
  if (size > 8) return;
  // Up to eight, they are the parts of what one process draws.
  const generator = new Generator(3);
  const whole = rand([2, 50 * size], { generator }).view([2, size, 50]);
  const best = (whole.topk(4, 2) as [Tensor, Tensor])[0].transpose(0, 1);
  expect(keys).toEqual((best.tolist() as number[][][]).map((rank) => JSON.stringify(rank)));
});

test('a wrong timeout is refused', () => {
  const env = {
    WORLD_SIZE: '2',
    RANK: '0',
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT: '1',
    PGPC_TIMEOUT: 'soon',
  };
  expect(() => joinGroup(env)).toThrow("PGPC_TIMEOUT is a number of seconds above 0, not 'soon'");
  expect(joinGroup({})).toBeUndefined();
  tensor([1]).dispose();
});

/** Launches a JavaScript program as every rank. */
async function launch(count: number, program: string, stop?: Promise<void>) {
  const file = join(folder, `program-${performance.now()}.mjs`);
  writeFileSync(file, `const rank = Number(process.env.RANK);\n${program}`);
  const [stdout, stderr, controller] = [new Sink(), new Sink(), new AbortController()];
  stop?.then(() => controller.abort());
  const io = { stdout, stderr, signal: controller.signal };
  const began = performance.now();
  const args = ['train', '--nproc', '7', '--seed', '3', '--nproc=7'];
  const error = await launchTraining(count, io, args, [process.execPath, file]).then(
    () => undefined,
    (thrown: Error) => thrown.message,
  );
  return { error, out: stdout.text, err: stderr.text, seconds: (performance.now() - began) / 1000 };
}

describe('the launcher', () => {
  test("gives every rank torchrun's variables and the arguments but its own", async () => {
    const { error, out } = await launch(
      3,
      `const { WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE } = process.env;
      console.log(JSON.stringify([rank, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, process.argv.slice(2)]));`,
    );
    expect(error).toBeUndefined();
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .sort((a, b) => a[0] - b[0]);
    expect(lines).toEqual([0, 1, 2].map((rank) => [rank, '3', String(rank), '3', ['train', '--seed', '3']]));
  });

  test('lets ranks meet where nobody else can, and listen on loopback alone', async () => {
    const { error, out } = await launch(
      2,
      `const { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } = await import('node:fs');
      const { dirname } = await import('node:path');
      const { setTimeout } = await import('node:timers/promises');
      const { joinGroup } = await import(${JSON.stringify(DISTRIBUTED)});
      // An address that the launcher's own ranks have no use for.
      process.env.MASTER_ADDR = 'elsewhere.invalid';
      const folder = dirname(process.env.PGPC_STORE_FILE);
      const first = folder + '/pid';
      if (rank === 0) writeFileSync(first, String(process.pid));
      // Rank 0 listens until rank 1 comes, which looks at it first.
      let addresses = [];
      while (rank === 1 && addresses.length === 0) {
        await setTimeout(20);
        if (existsSync(first)) addresses = listening(readFileSync(first, 'utf8'));
      }
      const group = joinGroup();
      group.barrier();
      if (rank === 1) console.log(JSON.stringify([folder, statSync(folder).mode & 0o777, addresses]));
      group.dispose();

      function listening(pid) {
        const inodes = readdirSync('/proc/' + pid + '/fd').flatMap((fd) => {
          try {
            return readlinkSync('/proc/' + pid + '/fd/' + fd).match(/(?<=^socket:.)\\d+/) ?? [];
          } catch {
            return [];
          }
        });
        // Local address, and state 0A: it listens. The four bytes of the address are one number of the processor's order.
        return ['tcp', 'tcp6'].flatMap((table) =>
          readFileSync('/proc/' + pid + '/net/' + table, 'utf8').trim().split('\\n').slice(1)
            .map((line) => line.trim().split(/ +/))
            .filter((fields) => fields[3] === '0A' && inodes.includes(fields[9]))
            .map((fields) => fields[1].split(':')[0]));
      }`,
    );
    expect(error).toBeUndefined();
    const [folder, mode, addresses] = JSON.parse(out);
    expect(mode).toBe(0o700);
    expect(new Set(addresses)).toEqual(new Set(['0100007F']));
    expect(existsSync(folder)).toBe(false);
  });

  test('ends the others when one fails, and says which failed and why', async () => {
    const { error, err, seconds } = await launch(
      3,
      `if (rank === 2) {
        console.error('something else');
        console.error('pgpc: out of luck');
        process.exit(3);
      }
      if (rank === 0) setTimeout(() => {
        console.error('pgpc: rank 0 of 3 lost another rank, which has ended or hangs (gone)');
        process.exit(1);
      }, 10);
      // One that ignores the request to end.
      process.on('SIGTERM', () => {});
      setInterval(() => {}, 1000);`,
    );
    expect(error).toBe('rank 2 of 3 ended with exit code 3: out of luck; then stopped: 1');
    expect(err).toContain('[rank 2] something else\n');
    expect(seconds).toBeLessThan(15);
  });

  test('names the signal that killed a rank', async () => {
    const { error } = await launch(
      2,
      `if (rank === 1) process.kill(process.pid, 'SIGKILL'); else setInterval(() => {}, 1000);`,
    );
    expect(error).toBe('rank 1 of 2 ended with SIGKILL; then stopped: 0');
  });

  test('names a rank that is suspended, once the others have waited for it as long as they may', async () => {
    const { error, seconds } = await launch(
      2,
      `const { joinGroup } = await import(${JSON.stringify(DISTRIBUTED)});
      process.env.PGPC_TIMEOUT = '5';
      const group = joinGroup();
      if (rank === 1) process.kill(process.pid, 'SIGSTOP');
      try {
        for (;;) group.barrier();
      } catch (error) {
        console.error('pgpc: ' + error.message);
        process.exit(1);
      }`,
    );
    expect(error).toMatch(
      /^rank 1 of 2 is suspended \(SIGSTOP, or a debugger\) and was not waited for any longer: rank 0 of 2 ended with exit code 1: .*lost another rank.*; then stopped: 1$/,
    );
    expect(seconds).toBeLessThan(30);
  });

  test('passes Ctrl-C on once, and waits', async () => {
    const stop = new Promise<void>((resolve) => setTimeout(resolve, 1500));
    const { error, out } = await launch(
      2,
      `process.on('SIGINT', () => {
        console.log('saved by ' + rank);
        setTimeout(() => process.exit(130), 100);
      });
      setInterval(() => {}, 1000);`,
      stop,
    );
    expect(error).toBeUndefined();
    expect(out.trim().split('\n').sort()).toEqual(['saved by 0', 'saved by 1']);
  });
});

test('pgpc train --nproc 2 makes one run directory and resumes from it', async () => {
  const data = join(folder, 'data');
  const counts = { sourceTrain: 3, sourceVal: 1, targetTrain: 3, targetVal: 1 };
  await writeStreetSynth(data, { seed: 9, ...counts, width: 64 });
  const runs = join(folder, 'runs');
  const pgpc = async (...args: string[]) => {
    const child = spawn(process.execPath, [PGPC, 'train', '--nproc', '2', ...args], {
      env: { ...process.env, OMP_NUM_THREADS: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    const [code] = (await once(child, 'close')) as [number];
    return { code, out, err };
  };
  const first = await pgpc(
    ...['--source-root', join(data, 'gta5'), '--target-root', join(data, 'cityscapes')],
    ...['--method', 'self-training', '--crop', '32x32', '--batch', '1', '--iterations', '2'],
    ...['--no-memory-check', '--workers', '0', '--out', runs, '--name', 'both'],
  );
  expect([first.code, first.err]).toEqual([0, expect.stringContaining('2 processes: 2 images a step\n')]);
  expect(first.err).not.toContain('[rank 1]');
  expect(first.out.match(/^mIoU /gm)).toHaveLength(1);
  const run = openRun(join(runs, 'both'));
  expect(run.info.status).toBe('finished');
  expect(run.metrics.map(({ iteration }) => iteration)).toEqual([2]);
  // Nothing is left to train; both ranks restore, agree on the step, and the evaluation is written again.
  const second = await pgpc('--resume', join(runs, 'both'));
  expect([second.code, second.err]).toEqual([0, expect.not.stringContaining('[rank 1]')]);
  expect(openRun(join(runs, 'both')).info.resumed).toHaveLength(1);
}, 120_000);
