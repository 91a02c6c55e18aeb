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
 * tasks. A task is posted at once, also to a busy thread, so threads keep working while the main thread computes.
 */
export class ThreadPool<Task, Result> {
  readonly #threads: Thread<Task, Result>[] = [];

  /** @param program calls {@link serveTasks}. @param count of threads at most, from 1 */
  constructor(
    readonly program: URL,
    readonly count: number,
  ) {}

  /** Has the idlest thread do a task. @throws what the program throws, as an Error or DatasetError; Error if it ends */
  run(task: Task): Promise<Result> {
    const [idlest] = this.#threads.toSorted((a, b) => a.pending - b.pending);
    if (idlest && (idlest.pending === 0 || this.#threads.length >= this.count)) return idlest.run(task);
    const started = new Thread<Task, Result>(this.program);
    this.#threads.push(started);
    return started.run(task);
  }

  /** Lets the threads finish what they were given, and waits until they have ended. */
  async dispose(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()));
  }
}

class Thread<Task, Result> {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve: (result: Result) => void; reject: (error: Error) => void }
  >();
  #nextId = 0;
  #fault: Error | undefined;

  constructor(program: URL) {
    this.#worker = new Worker(program);
    this.#worker.on('message', (answer: Answer<Result>) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error(`a thread of ${program.pathname} has ended`)));
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

  #fail(error: Error): void {
    this.#fault ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#fault);
    this.#waiting.clear();
  }

  async close(): Promise<void> {
    if (this.#fault) return;
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
