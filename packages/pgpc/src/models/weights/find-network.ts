// Finds a known network among a file's entries, under whatever prefixes training programs have put before their names.

import { type Naming, namings, type WeightFormat, weightFormats } from './namings.js';

/** An entry that is left out on purpose. */
export interface SkippedEntry {
  readonly name: string;
  readonly reason: string;
}

/** Options of what is looked for. */
export interface RecognizeOptions {
  /**
   * Of a file with several networks: the student (default, which is what the papers evaluate), the teacher (a running
   * mean such as EMA), or the prefix of another, as the file has it.
   */
  readonly network?: 'student' | 'teacher' | (string & {});
}

/** A network in a file. */
export interface FoundNetwork {
  readonly format: WeightFormat;
  readonly naming: Naming;
  /** What all its names begin with, without what wraps modules: `state_dict.model.` */
  readonly prefix: string;
  /** The prefixes of the other networks in the file. */
  readonly others: readonly string[];
  /** Names within the network to names in the file. */
  readonly entries: ReadonlyMap<string, string>;
  /** Of the file's names the ones outside of it. */
  readonly skipped: SkippedEntry[];
}

/** Parts of names that come from wrapping a module, at any place: data parallel, compiled, sharded, recomputed, Fabric's. */
const WRAPPERS: ReadonlySet<string> = new Set([
  'module',
  '_orig_mod',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
  '_forward_module',
]);

const TEACHER = /^(ema|teacher|momentum|swa)(_|$)|_(ema|teacher|momentum|swa)$|^(averaged|average)_model$/i;
const PRETRAINED = /^(imnet|imagenet|pretrained|frozen)(_|$)/i;
const LOSS = /(^|_)(loss|losses|criterion|criteria|metrics?|m?iou|acc|accuracy|confmat|jaccard|dice)(_|$)/i;
const OPTIMIZER = /^(optim|lr_sched|sched|scaler|grad_scaler|amp$|loops$|callbacks$|rng)/i;

/** Deepest prefix that is looked at, in parts between dots. */
const MOST_DEPTH = 8;

/**
 * Looks for the prefix under which most names are of one known form.
 * @param ownFormat of this project's files, which say it in their header
 * @throws Error if fewer than half of the names there are of that form, or there is no such network
 */
export function findNetwork(
  names: readonly string[],
  ownFormat: string | undefined,
  { network }: RecognizeOptions = {},
): FoundNetwork {
  if (ownFormat?.startsWith('pgpc-segmentor/')) return own(names, '', 'pgpc-model');
  if (ownFormat?.startsWith('pgpc-backbone/')) return own(names, '', 'pgpc-backbone');
  if (ownFormat?.startsWith('pgpc-training/')) {
    return own(names, `${network ?? 'student'}.segmentor.`, 'pgpc-training');
  }
  const cleaned = unwrapped(names);
  const networks = candidates([...cleaned.keys()]);
  if (networks.length === 0) throw unknownForm(names);
  const chosen = choose(networks, network);
  const { prefix, naming } = chosen;
  const entries = new Map<string, string>();
  const skipped: SkippedEntry[] = [];
  for (const [name, inFile] of cleaned) {
    const other = networks.find((each) => each !== chosen && each.names.has(name));
    const reason = other
      ? 'another network of the checkpoint'
      : name.startsWith(prefix)
        ? reasonWithin(name.slice(prefix.length), naming)
        : (reasonOf(name) ?? 'outside of the network');
    if (reason === undefined) entries.set(name.slice(prefix.length), inFile);
    else skipped.push({ name: inFile, reason });
  }
  const known = [...entries.keys()].filter((name) => naming.place(name) !== undefined).length;
  if (known * 2 < entries.size) throw unknownForm(names);
  const isSelfTraining = names.some((name) => /(^|\.)(ema_model|imnet_model)\./.test(name));
  return {
    format: isSelfTraining ? 'daformer' : naming.format,
    naming,
    prefix,
    others: networks.filter((each) => each !== chosen).map((each) => each.prefix),
    entries,
    skipped,
  };
}

function unknownForm(names: readonly string[]): Error {
  return new Error(
    `its names are of no known form (${names.slice(0, 3).join(', ')}, ...); known are: ${Object.values(weightFormats).join('; ')}`,
  );
}

/** A file of this project's: where its network is, is known. */
function own(names: readonly string[], prefix: string, format: WeightFormat): FoundNetwork {
  const within = names.filter((name) => name.startsWith(prefix));
  if (within.length === 0) throw new Error(`it holds no network under ${prefix}`);
  const entries = new Map(within.map((name) => [name.slice(prefix.length), name]));
  const scored = namings.map((naming) => ({ naming, known: countKnown(entries.keys(), naming) }));
  const { naming } = scored.reduce((a, b) => (b.known > a.known ? b : a));
  const skipped = names
    .filter((name) => !name.startsWith(prefix))
    .map((name) => ({ name, reason: 'not the network that was asked for' }));
  return { format, naming, prefix, others: [], entries, skipped };
}

function countKnown(names: Iterable<string>, naming: Naming): number {
  let known = 0;
  for (const name of names) if (naming.place(name) !== undefined) known++;
  return known;
}

/** Names without the parts that come from wrapping, to the names in the file. A name that would be taken stays as it is. */
export function unwrapped(names: readonly string[]): Map<string, string> {
  const cleaned = new Map<string, string>();
  for (const name of names) {
    const parts = name.split('.').filter((part) => !WRAPPERS.has(part));
    const bare = parts.join('.');
    cleaned.set(parts.length === 0 || cleaned.has(bare) ? name : bare, name);
  }
  return cleaned;
}

/** Why an entry within a network's prefix is none of its own; undefined: it is one, or one that should not be there. */
function reasonWithin(name: string, naming: Naming): string | undefined {
  return naming.place(name) === undefined ? reasonOf(name) : undefined;
}

function reasonOf(name: string): string | undefined {
  const parts = name.split('.').slice(0, -1);
  if (OPTIMIZER.test(parts[0] ?? '')) return 'state of the optimizer or the training program';
  return parts.some((part) => LOSS.test(part)) ? 'state of the training loss' : undefined;
}

interface Candidate {
  readonly prefix: string;
  readonly naming: Naming;
  /** Names under the prefix that the form knows. */
  readonly names: ReadonlySet<string>;
}

/** The networks in a file, the largest first; undefined names of fewer than half of its entries count as none. */
function candidates(names: readonly string[]): Candidate[] {
  const scores = new Map<string, Int32Array>();
  const ofRest = new Map<string, number>();
  for (const name of names) {
    for (let start = 0, depth = 0; depth <= MOST_DEPTH; depth++) {
      const rest = name.slice(start);
      let known = ofRest.get(rest);
      if (known === undefined) {
        known = namings.reduce((bits, { place }, i) => {
          const found = place(rest);
          return found !== undefined && 'to' in found ? bits | (1 << i) : bits;
        }, 0);
        ofRest.set(rest, known);
      }
      if (known !== 0) {
        const prefix = name.slice(0, start);
        const counts = scores.get(prefix) ?? new Int32Array(namings.length);
        for (let i = 0; i < namings.length; i++) counts[i]! += (known >> i) & 1;
        scores.set(prefix, counts);
      }
      const dot = name.indexOf('.', start);
      if (dot < 0) break;
      start = dot + 1;
    }
  }
  const ranked = [...scores].map(([prefix, counts]) => {
    const most = Math.max(...counts);
    return { prefix, count: most, naming: namings[counts.indexOf(most)]! };
  });
  // Of prefixes with as many names the shorter: `backbone.` is part of the names.
  ranked.sort((a, b) => b.count - a.count || a.prefix.split('.').length - b.prefix.split('.').length);
  const found: Candidate[] = [];
  const claimed = new Set<string>();
  for (const { prefix, naming, count } of ranked) {
    if (count * 2 < ranked[0]!.count) break;
    const own = new Set(
      names.filter(
        (name) =>
          name.startsWith(prefix) &&
          !claimed.has(name) &&
          naming.place(name.slice(prefix.length)) !== undefined,
      ),
    );
    if (own.size * 2 < ranked[0]!.count) continue;
    for (const name of own) claimed.add(name);
    found.push({ prefix, naming, names: own });
  }
  return found;
}

type Role = 'student' | 'teacher' | 'pretrained';

function roleOf(prefix: string): Role {
  const parts = prefix.split('.');
  if (parts.some((part) => PRETRAINED.test(part))) return 'pretrained';
  return parts.some((part) => TEACHER.test(part)) ? 'teacher' : 'student';
}

/** How `--network` asks for the network under a prefix. */
export function askFor(prefix: string, others: readonly string[]): string {
  const role = roleOf(prefix);
  const isOnly = !others.some((other) => other !== prefix && roleOf(other) === role);
  return role === 'teacher' && isOnly ? 'teacher' : prefix.replace(/\.$/, '');
}

function choose(networks: readonly Candidate[], network: string | undefined): Candidate {
  const there = networks.map(({ prefix }) => prefix || 'the whole file').join(', ');
  if (network !== undefined && network !== 'student' && network !== 'teacher') {
    const asked = [...unwrapped([`${network.replace(/\.$/, '')}.x`]).keys()][0]!.slice(0, -1);
    const named = networks.find(({ prefix }) => prefix === asked);
    if (named) return named;
    throw new Error(`it holds no network under '${network}'; there is: ${there}`);
  }
  const byRole = (role: Role) => networks.find(({ prefix }) => roleOf(prefix) === role);
  if (network === 'teacher') {
    const teacher = byRole('teacher');
    if (teacher) return teacher;
    throw new Error(
      networks.length === 1
        ? 'it holds one network and no teacher'
        : `it holds no teacher; there are networks under: ${there}`,
    );
  }
  const student = byRole('student') ?? (network === undefined ? byRole('teacher') : undefined);
  if (student) return student;
  throw new Error(`it holds no student; there is: ${there}`);
}
