// Work on many files at once.
import { availableParallelism } from 'node:os';

/** How {@link forEachConcurrently} runs. */
export interface ConcurrentOptions {
  /** Calls under way at once; default: two for every core, so that reading and decoding overlap. */
  readonly concurrency?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after each item. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Calls `action` for every item, several at once, starting them in order.
 * @throws what the first call to fail throws, once those under way have ended; the reason of `signal` when aborted
 */
export async function forEachConcurrently<T>(
  items: readonly T[],
  action: (item: T, index: number) => Promise<void>,
  options: ConcurrentOptions = {},
): Promise<void> {
  const { concurrency = 2 * availableParallelism(), signal, onProgress } = options;
  let next = 0;
  let done = 0;
  let failed = false;
  const worker = async () => {
    while (next < items.length && !failed) {
      const index = next++;
      try {
        signal?.throwIfAborted();
        await action(items[index]!, index);
      } catch (error) {
        failed = true;
        throw error;
      }
      onProgress?.(++done, items.length);
    }
  };
  const workers = await Promise.allSettled(
    Array.from({ length: Math.max(1, Math.min(concurrency, items.length)) }, worker),
  );
  const failure = workers.find((worker) => worker.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
