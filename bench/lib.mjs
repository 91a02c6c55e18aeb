// What the benchmarks share: flags, the processes of both sides, their turns, tensors by file, tables and results.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildInfo } from '@pgpc/torch';

export { markdown } from './table.mjs';

export const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * The command line's flags, by their defaults: counts where that is a number, switches where it is a boolean, else
 * text. Every benchmark takes `--python`, an interpreter with PyTorch, and `--results`, the folder for its JSON.
 * @template {Record<string, string | number | boolean>} T
 * @param {T} defaults
 * @returns {{ [K in keyof T]: T[K] extends number ? number : T[K] extends boolean ? boolean : string } &
 *   { python: string, results: string }}
 */
export function readFlags(defaults) {
  const all = { python: process.env.PYTHON ?? '', results: join(here, 'results'), ...defaults };
  const options = Object.entries(all).map(([name, fallback]) => [
    name,
    typeof fallback === 'boolean'
      ? { type: 'boolean', default: fallback }
      : { type: 'string', default: String(fallback) },
  ]);
  const { values } = /** @type {any} */ (parseArgs({ options: Object.fromEntries(options) }));
  for (const [name, fallback] of Object.entries(all)) {
    if (typeof fallback !== 'number') continue;
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`--${name} is a whole number from 1, not ${values[name]}`);
    }
    values[name] = value;
  }
  return values;
}

/** The first interpreter that has the modules of a peer: the one asked for, or the system's. */
export function findPython(asked, modules = ['torch']) {
  const candidates = asked ? [asked] : ['python3', '/usr/bin/python3'];
  const script = `import ${modules.join(', ')}`;
  const found = candidates.find((name) => spawnSync(name, ['-c', script], { stdio: 'ignore' }).status === 0);
  if (found) return found;
  throw new Error(
    `${candidates.join(' and ')} cannot import ${modules.join(', ')}: install PyTorch (Debian: apt-get install ` +
      'python3-torch; elsewhere: pip install torch), or name an interpreter that has it with --python',
  );
}

/** Both sides' commands. */
export const own = (script) => [process.execPath, join(here, 'own', script)];
export const peer = (python, script) => [python, join(here, 'peer', script)];

/** Debian's PyTorch takes the system's BLAS, which need not be the build that ours brings along: this makes it so. */
function sameBlas() {
  const { blas } = buildInfo();
  return blas.includes('/openblas-') ? { LD_LIBRARY_PATH: dirname(blas) } : {};
}

/** The files of libtorch and BLAS that a process has loaded. */
export function librariesOf(pid) {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  const libraries = maps.match(/\/\S*\/lib(torch_cpu|torch_cuda|openblas|blas|mkl_core)[-.\w]*/g);
  return [...new Set(libraries)].sort();
}

/** The result of `act`; if it fails, what failed is noted by name, and the benchmark continues without it. */
export async function attempt(failures, side, act) {
  try {
    return await act();
  } catch (error) {
    failures.push({ side, error: error.message });
    console.error(`${side}: ${error.message}`);
    return undefined;
  }
}

/** A worker process: one line of JSON for each that it is sent. */
export class Worker {
  /** What the process said of itself on starting; libtorch's version and threads are in it. */
  /** @type {any} */
  info;
  #process;
  #lines;
  #startError;

  /**
   * @param {string[]} line the command and its arguments
   * @param {{ threads: number, env?: Record<string, string>, limit?: number | undefined }} options threads that its
   * operators may use; variables on top of this process's; see {@link ask} for the limit
   */
  static async start([command = '', ...args], { threads, env = {}, limit }) {
    const worker = new Worker();
    const blas = sameBlas();
    worker.#process = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        OMP_NUM_THREADS: String(threads),
        OPENBLAS_NUM_THREADS: String(threads),
        // Threads that spin while the other process works would be measured there.
        OMP_WAIT_POLICY: 'passive',
        PYTHONDONTWRITEBYTECODE: '1',
        ...blas,
        ...env,
      },
    });
    worker.#process.on('error', (error) => {
      worker.#startError = `${command} does not start: ${error.message}`;
    });
    // A process that has ended takes no questions; that it gives no answer is said then.
    worker.#process.stdin.on('error', () => {});
    worker.#lines = createInterface({ input: worker.#process.stdout })[Symbol.asyncIterator]();
    worker.info = await worker.#receive(limit);
    return worker;
  }

  async #receive(limit) {
    let late = false;
    const timer =
      limit &&
      setTimeout(() => {
        late = true;
        this.#process.kill('SIGKILL');
      }, limit * 1000);
    const { value, done } = await this.#lines.next();
    clearTimeout(timer);
    const [command, script] = this.#process.spawnargs;
    const name = `${basename(command)} ${basename(script ?? '')}`;
    if (late) throw new Error(`${name} was ended: no answer within ${limit} s`);
    if (done) throw new Error(this.#startError ?? `${name} ended early: see its message above`);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  /** @param limit seconds after which the process is ended, as one that hangs; left out, none. */
  async ask(question = {}, limit) {
    this.#process.stdin.write(`${JSON.stringify(question)}\n`);
    return this.#receive(limit);
  }

  /** Peak resident size in MiB, and what the process has run on. */
  inspect() {
    const { pid } = this.#process;
    const { libtorch, threads } = this.info;
    return {
      peakMiB: Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024,
      software: { libtorch, threads, libraries: librariesOf(pid) },
    };
  }

  stop() {
    this.#process.stdin.end();
  }
}

/** Every side once a round, every second round in reverse order: a disturbance hits all alike, and none always follows
 * another. Rounds of the warm-up have negative numbers. */
export async function takeTurns(sides, { rounds, warmUp = 1, enough = () => false }, act) {
  for (let round = -warmUp; round < rounds; round++) {
    if (round > 0 && enough()) return;
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) await act(side, round);
  }
}

/** A function that gives the milliseconds since it was last called, and the processor's, all threads together. */
export function stopwatch() {
  let [wall, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    const taken = { ms: performance.now() - wall, cpuMs: (user + system) / 1000 };
    [wall, cpu] = [performance.now(), process.cpuUsage()];
    return taken;
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Median of the rounds' ratios: the machine's speed changes over time, for both sides of a round alike. */
export function ratioOf(ours, theirs) {
  return median(ours.map((value, i) => value / theirs[i]));
}

/**
 * Multiplies one of a network's weights.
 * @param {Map<string, import('@pgpc/torch').Tensor>} weights
 * @param {string} name
 * @param {number} factor
 */
export function scaleWeight(weights, name, factor) {
  const weight = weights.get(name);
  if (weight === undefined) throw new Error(`the network has no weight ${name}`);
  weights.set(name, weight.detach().mul(factor));
}

/** Writes tensors for the workers of both sides to read, see own/tensors.mjs and peer/tensors.py. */
export function writeTensors(folder, tensors) {
  const index = [];
  const parts = [];
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const array = tensor.toArray();
    index.push({ name, dtype: tensor.dtype, shape: tensor.shape, offset, elements: array.length });
    const padding = (8 - (array.byteLength % 8)) % 8;
    parts.push(Buffer.from(array.buffer, array.byteOffset, array.byteLength), Buffer.alloc(padding));
    offset += array.byteLength + padding;
  }
  writeFileSync(join(folder, 'tensors.bin'), Buffer.concat(parts));
  writeFileSync(join(folder, 'tensors.json'), JSON.stringify(index));
}

/** A folder that is gone when this process is. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'pgpc-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  process.on('SIGINT', () => process.exit(130));
  return folder;
}

/** To be called before anything is measured, for the load to be that of others. */
export function describeMachine() {
  return {
    cpu: cpus()[0].model,
    instructions: buildInfo().instructions,
    cores: cpus().length,
    device: 'CPU',
    loadBefore: loadavg()[0],
  };
}

export function machineLine({ cpu, instructions, cores, device, loadBefore }) {
  return `${device}: ${cpu} (${cores} cores, ${instructions}), load before the timing ${loadBefore.toFixed(2)}`;
}

/** What both sides ran on, and whether that was the same. */
export function softwareLines(software) {
  const lines = Object.entries(software).map(
    ([side, { libtorch, threads, libraries }]) =>
      `${side}: libtorch ${libtorch}, ${threads} threads, ${libraries.join(', ')}`,
  );
  const [first, ...others] = Object.values(software).map(({ libraries }) => libraries.join());
  if (others.some((libraries) => libraries !== first)) {
    lines.push('The two do not run on the same libraries: the ratios compare those too.');
  }
  return lines;
}

export function saveResults(folder, name, results) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
}

/**
 * The end of a benchmark: prints what it ran on, and writes that with its results.
 * @param {string} folder
 * @param {string} name
 * @param {ReturnType<typeof describeMachine>} machine
 * @param {{ software?: Record<string, any>, [key: string]: unknown }} results `software`: each side's, see {@link Worker}
 */
export function finish(folder, name, machine, { software, ...results }) {
  console.log(['', ...(software ? softwareLines(software) : []), machineLine(machine)].join('\n'));
  const versions = software && { software: { node: process.version, ...software } };
  saveResults(folder, name, { machine, ...versions, ...results });
}
