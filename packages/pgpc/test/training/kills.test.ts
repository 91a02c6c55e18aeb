// Trainings killed at random moments, in processes of their own, and resumed: `PGPC_KILLS=20 npx vitest run training/kills`.
// PGPC_SEED draws other moments.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { methodNames } from '../../src/config/method.js';
import { Rng } from '../../src/random.js';
import { runContents } from '../support/run-contents.js';

const kills = Number(process.env.PGPC_KILLS ?? 0);
const program = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpc-kills-'));
const run = join(folder, 'runs/run');
// The feature distance needs weights of ImageNet, which nobody may ship.
const methods = methodNames.filter((name) => name !== 'daformer');
const whole = new Map<string, { contents: Record<string, string>; ms: number }>();

/**
 * One process of a training.
 * @param after milliseconds after which it is killed.
 * @returns null where it was killed, 0, or what it said when it failed.
 */
async function pgpc(args: readonly string[], after?: number): Promise<string | 0 | null> {
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  const child = spawn(process.execPath, [program, 'train', ...args, '--device', 'cpu'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr!.on('data', (text) => {
    said += text;
  });
  const timer = after === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), after);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  if (code === 0) return 0;
  return signal === 'SIGKILL' ? null : `${signal ?? `exit code ${code}`}: ${said}`;
}

const start = (method: string) => [
  ...['--source-root', 'data/gta5', '--target-root', 'data/cityscapes', '--method', method, '--name', 'run'],
  ...['--crop', '32x32', '--batch', '1', '--iterations', '4', '--checkpoint-every', '1', '--no-memory-check'],
  ...['--overwrite', '--workers', '0', '--set', 'segmentor.channels=16'],
  // Small banks: with the usual ones most of a training's time is that of writing them.
  ...(method.startsWith('pgpc')
    ? ['method.contrast.warmup=0', 'method.contrast.bankCapacity=64']
    : []
  ).flatMap((setting) => ['--set', setting]),
];

beforeAll(async () => {
  if (kills === 0) return;
  const counts = { sourceTrain: 3, sourceVal: 1, targetTrain: 3, targetVal: 1 };
  await writeStreetSynth(join(folder, 'data'), { seed: 9, ...counts, width: 64 });
  for (const method of methods) {
    const began = performance.now();
    expect(await pgpc(start(method))).toBe(0);
    whole.set(method, { contents: runContents(run), ms: performance.now() - began });
  }
}, 3_600_000);
afterAll(() => rmSync(folder, { recursive: true }), 60_000);

test.skipIf(kills === 0)(
  'a training that is killed at random moments ends as one that is not',
  async () => {
    const rng = new Rng(Number(process.env.PGPC_SEED ?? 1), 'kills');
    const seen = { first: 0, resumed: 0 };
    for (let i = 0; i < kills; ) {
      const method = methods[i % methods.length]!;
      const { contents, ms } = whole.get(method)!;
      rmSync(run, { recursive: true, force: true });
      // Killed again and again, until it comes to its end.
      for (let code: string | 0 | null = null; code !== 0; ) {
        const isThere = ['training', 'training.previous'].some((name) =>
          existsSync(join(run, `checkpoints/${method}/${name}.safetensors`)),
        );
        const args = isThere ? ['--resume', run] : start(method);
        code = await pgpc(args, i < kills ? rng.uniform(500, ms) : undefined);
        if (code === null) {
          i++;
          seen[isThere ? 'resumed' : 'first']++;
        } else expect([method, i, code]).toEqual([method, i, 0]);
      }
      expect([method, i, runContents(run)]).toEqual([method, i, contents]);
      process.stderr.write(`${i} kills, the last of ${method}: ${JSON.stringify(seen)}\n`);
    }
  },
  36_000_000,
);
