// Reads inputs in a process of its own, one after another, and tells of every fault; what kills it is told by the parent.
//
// Input K of a kind and a seed is always the same, whatever was read before.

import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkPrototypes, Fault } from './judge.mjs';
import { kinds } from './kinds/index.mjs';
import { Random } from './random.mjs';

const [kindName, seedText, fromText, countText, lanesText, folder] = process.argv.slice(2);
const [seed, from, count, mostLanes] = [seedText, fromText, countText, lanesText].map(Number);

/** Beside ten times the file: what any reader may take. */
const MOST_MEMORY = 64 * 2 ** 20;
const MOST_SECONDS = 10;
/** Memory is looked at once for so many inputs, and of each of them where it was too much. */
const BATCH = 128;
/** Of so many, each is looked at. */
const FEW = 8;

const kind = await kinds[kindName]();
const log = openSync(join(folder, 'at'), 'w');
const tell = (message) => writeSync(1, `${JSON.stringify(message)}\n`);
/** Inputs that are read at once, each in a folder of its own. */
const lanes = Array.from({ length: Math.min(mostLanes, kind.lanes ?? 1) }, (_, i) =>
  join(folder, `input${i}`),
);
for (const lane of lanes) mkdirSync(lane, { recursive: true });

/** Peak of the resident memory since it was last asked for, in bytes. */
function peakMemory() {
  const status = readFileSync('/proc/self/status', 'latin1');
  // The peak begins anew.
  writeFileSync('/proc/self/clear_refs', '5');
  return Number(/VmHWM:\s+(\d+)/.exec(status)[1]) * 1024;
}

function write(place, files) {
  for (const [name, bytes] of files) {
    const file = join(place, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
  }
}

/** Files that were not read as they should be once. */
const finds = fileURLToPath(new URL(`finds/${kindName}`, import.meta.url));

/** Several times, as readers are drawn. */
async function readFind(find) {
  const names = readdirSync(join(finds, find), { recursive: true }).filter((name) => /\.\w+$/.test(name));
  const files = new Map(names.map((name) => [name, readFileSync(join(finds, find, name))]));
  const place = join(folder, `find-${find}`);
  for (let index = 0; index < 8; index++) {
    write(place, files);
    await kind.read(place, new Random(1, index), files).catch(({ message }) => {
      tell({ fault: `find ${find}: ${message}`, index: -1 });
    });
    kind.clean?.(place);
  }
  rmSync(place, { recursive: true });
}

const outcomes = { read: 0, refused: 0 };
let longest = { seconds: 0, input: -1 };

/** Inputs that took too long beside others. */
const slow = [];

/** @returns bytes of its files; with `measure` also the memory that was taken since they were made */
async function readInput(place, index, measure = false) {
  const random = new Random(seed, index);
  const files = kind.make(random);
  write(place, files);
  if (measure) {
    globalThis.gc?.();
    peakMemory();
  }
  const before = measure ? peakMemory() : 0;
  const begin = performance.now();
  try {
    outcomes[(await kind.read(place, random, files)) ? 'read' : 'refused']++;
    checkPrototypes();
  } catch (error) {
    const { message, cause } =
      error instanceof Fault ? error : new Fault(`the harness: ${error.message}`, error);
    tell({ fault: message, index, stack: cause?.stack });
  }
  const seconds = (performance.now() - begin) / 1000;
  if (seconds > longest.seconds) longest = { seconds, input: index };
  if (seconds > MOST_SECONDS) slow.push(index);
  const taken = measure ? peakMemory() - before : 0;
  kind.clean?.(place);
  return { taken, size: [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0) };
}

/** A machine that is busy with other things makes some inputs slow: what is slow alone, twice, is a fault. */
async function readSlowAgain() {
  for (const index of slow.splice(0)) {
    await readInput(lanes[0], index);
    if (slow.pop() === index) tell({ fault: `took over ${MOST_SECONDS} s`, index });
  }
}

async function readBatch(first, last) {
  peakMemory();
  const start = peakMemory();
  let size = 0;
  let next = first;
  const work = async (lane) => {
    while (next < last) {
      // Where to begin again after a death, and that it lives.
      writeSync(log, `${lanes.length === 1 ? next : first} ${next} `, 0);
      size += (await readInput(lane, next++)).size;
    }
  };
  await Promise.all(lanes.map(work));
  await readSlowAgain();
  if (peakMemory() - start <= MOST_MEMORY + (10 * size) / (last - first)) return;
  // What many readers left behind each other is taken for one's: fewer are read again, at last each by itself.
  const counted = { ...outcomes };
  globalThis.gc?.();
  if (last - first > FEW) {
    const half = first + Math.floor((last - first) / 2);
    await readBatch(first, half);
    await readBatch(half, last);
  } else {
    for (let index = first; index < last; index++) {
      const { size, taken } = await readInput(lanes[0], index, true);
      if (taken > MOST_MEMORY + 10 * size) {
        tell({
          fault: `took more than ${MOST_MEMORY / 2 ** 20} MiB and ten times the file`,
          index,
          taken,
          size,
        });
      }
    }
  }
  Object.assign(outcomes, counted);
}

/** The first reads of a process load what they need. */
for (let index = 0; index < 20; index++) {
  const random = new Random(0, index);
  const files = kind.make(random);
  write(lanes[0], files);
  await kind.read(lanes[0], random, files).catch(() => {});
  kind.clean?.(lanes[0]);
}
for (const find of existsSync(finds) ? readdirSync(finds) : []) await readFind(find);
tell({ ready: true });
for (let first = from; first < from + count; first += BATCH) {
  await readBatch(first, Math.min(first + BATCH, from + count));
}
tell({ done: true, ...outcomes, longest });
for (const lane of lanes) rmSync(lane, { recursive: true, force: true });
// Threads of libraries must not keep it.
process.exit(0);
