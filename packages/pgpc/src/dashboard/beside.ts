// A dashboard beside a training, in a thread of its own: it ends with the process.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { compiledProgram } from '@pgpc/datasets';

const PROGRAM = compiledProgram(import.meta.url, './dashboard-worker.js');

export interface BesideDashboard {
  readonly address: string;
  end(): Promise<void>;
}

/** @throws Error as `startDashboard` does. */
export async function startBeside(
  roots: readonly string[],
  onLeftOut: (link: string) => void,
): Promise<BesideDashboard> {
  const worker = new Worker(PROGRAM, { workerData: { roots } });
  const [first] = (await once(worker, 'message')) as [{ address?: string; error?: string }];
  if (first.address === undefined) {
    await worker.terminate();
    throw new Error(first.error);
  }
  // The training decides when the process ends.
  worker.unref();
  worker.on('message', ({ leftOut }: { leftOut: string }) => onLeftOut(leftOut));
  return {
    address: first.address,
    end: async () => {
      await worker.terminate();
    },
  };
}
