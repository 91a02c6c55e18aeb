// Programs that run beside this one: threads for work that takes a core each.
import { parentPort, Worker } from 'node:worker_threads';
import { DatasetError, type FaultKind } from './errors.js';

/**
 * The file of a program that `tsc` has compiled.
 * @param from `import.meta.url` of the module beside which the program's file is
 * @param file its name there, with `.js`. The sources run uncompiled under the test runner: then it is the one in `dist`.
 */
export function compiledProgram(from: string, file: string): URL {
  const beside = new URL(file, from);
  return from.endsWith('.ts') ? new URL(beside.href.replace(/\/src\/(?!.*\/src\/)/, '/dist/')) : beside;
}

interface Question<Task> {
  id: number;
  task: Task;
}

type Answer<Result> =
  | { id: number; result: Result; failure?: undefined }
  | { id: number; result?: undefined; failure: Failure };

/** An error as plain data: a thread cannot post its class. */
interface Failure {
  message: string;
  stack: string | undefined;
  /** Of a {@link DatasetError}. */
  dataset: { kind: FaultKind | undefined; file: string | undefined } | undefined;
}

/**
 * Threads that run one program, each started when all others are busy. They keep the process alive only while they have
 * tasks. A task is posted at once, also to a busy thread, so threads keep working while the main thread computes. One that
 * ends of itself (out of memory, say) is replaced, and what it had not done is done again.
 */
export class ThreadPool<Task, Result> {
  readonly #threads: Thread<Task, Result>[] = [];
  /** Why threads have ended that should not have, in order: the last of them, and how many. */
  #lost: { readonly count: number; readonly last: Error } | undefined;
  /** Tasks of lost threads, one after the other: which of them its thread has ended by is not known. */
  #again: Promise<unknown> = Promise.resolve();

  /** @param program calls {@link serveTasks}. @param count of threads at most, from 1 */
  constructor(
    readonly program: URL,
    readonly count: number,
  ) {}

  /** How many threads have ended of themselves, and why the last one did; undefined: none has. */
  get lost(): { readonly count: number; readonly last: Error } | undefined {
    return this.#lost;
  }

  /**
   * Has the idlest thread do a task.
   * @throws what the program throws, as an Error or DatasetError; Error if two threads have ended over the task, the second of
   *   which had no other
   */
  run(task: Task): Promise<Result> {
    return this.#idlest()
      .run(task)
      .catch((error: Error) => {
        if (!(error instanceof ThreadEnded)) throw error;
        const retried = this.#again.then(() => this.#alone(task));
        this.#again = retried.catch(() => {});
        return retried;
      });
  }

  #idlest(): Thread<Task, Result> {
    const [idlest] = this.#threads.toSorted((a, b) => a.pending - b.pending);
    if (idlest && (idlest.pending === 0 || this.#threads.length >= this.count)) return idlest;
    const started = this.#start();
    this.#threads.push(started);
    return started;
  }

  #start(): Thread<Task, Result> {
    const started = new Thread<Task, Result>(this.program, (last) => {
      this.#lost = { count: (this.#lost?.count ?? 0) + 1, last };
      const place = this.#threads.indexOf(started);
      if (place >= 0) this.#threads.splice(place, 1);
    });
    return started;
  }

  async #alone(task: Task): Promise<Result> {
    const thread = this.#start();
    try {
      return await thread.run(task);
    } finally {
      await thread.close();
    }
  }

  /** Lets the threads finish what they were given, and waits until they have ended. */
  async dispose(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()));
    await this.#again;
  }
}

/** A thread has ended of itself. */
class ThreadEnded extends Error {}

class Thread<Task, Result> {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve: (result: Result) => void; reject: (error: Error) => void }
  >();
  #nextId = 0;
  #fault: ThreadEnded | undefined;
  #closing = false;

  /** @param onLost told once why it has ended, unless it was closed. */
  constructor(
    program: URL,
    readonly onLost: (reason: Error) => void,
  ) {
    this.#worker = new Worker(program);
    this.#worker.on('message', (answer: Answer<Result>) => this.#settle(answer));
    this.#worker.on('error', ({ message, stack }) => this.#fail(message, stack));
    this.#worker.on('exit', (code) =>
      this.#fail(`a thread of ${program.pathname} has ended, with exit code ${code}`),
    );
  }

  get pending(): number {
    return this.#waiting.size;
  }

  run(task: Task): Promise<Result> {
    if (this.#fault) return Promise.reject(this.#fault);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, task } satisfies Question<Task>);
    });
  }

  #settle({ id, result, failure }: Answer<Result>): void {
    const { resolve, reject } = this.#waiting.get(id)!;
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (failure) reject(errorOf(failure));
    else resolve(result as Result);
  }

  #fail(message: string, stack?: string): void {
    if (this.#fault || (this.#closing && this.#waiting.size === 0)) return;
    this.#fault = new ThreadEnded(message);
    if (stack) this.#fault.stack = stack;
    this.onLost(this.#fault);
    for (const { reject } of this.#waiting.values()) reject(this.#fault);
    this.#waiting.clear();
  }

  async close(): Promise<void> {
    if (this.#fault) return;
    this.#closing = true;
    // Not events.once, which fails where the thread ends by an error: that is for its tasks to say.
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.ref();
    this.#worker.postMessage('close');
    await ended;
  }
}

function errorOf({ message, stack, dataset }: Failure): Error {
  const error = dataset ? new DatasetError(message, dataset) : new Error(message);
  if (stack) error.stack = stack;
  return error;
}

/**
 * Makes this thread one of a {@link ThreadPool}.
 * @param act does one task
 * @param atOnce tasks under way at once, begun in the order in which they came
 * @param moved memory of a result that goes to the main thread without a copy
 */
export function serveTasks<Task, Result>(
  act: (task: Task) => Promise<Result>,
  atOnce = 1,
  moved: (result: Result) => ArrayBuffer[] = () => [],
): void {
  const port = parentPort!;
  const lanes = Array.from({ length: atOnce }, () => Promise.resolve());
  let turn = 0;
  const answer = async ({ id, task }: Question<Task>) => {
    try {
      const result = await act(task);
      port.postMessage({ id, result } satisfies Answer<Result>, moved(result));
    } catch (error) {
      const { message, stack } = error as Error;
      const dataset = error instanceof DatasetError ? { kind: error.kind, file: error.file } : undefined;
      port.postMessage({ id, failure: { message, stack, dataset } } satisfies Answer<Result>);
    }
  };
  port.on('message', (question: Question<Task> | 'close') => {
    if (question === 'close') {
      Promise.all(lanes).then(() => port.close());
      return;
    }
    const lane = turn++ % atOnce;
    lanes[lane] = lanes[lane]!.then(() => answer(question));
  });
}
