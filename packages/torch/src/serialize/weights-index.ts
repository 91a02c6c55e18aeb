// A weights file looked into before any tensor is read: what it holds by name, and what in it is no data.
import type { DType } from '../dtype.js';
import type { Tensor } from '../tensor.js';
import { ForeignObject, type Plain } from './plain.js';
import { type LoadOptions, type ParsedPth, parsePth, readTensors } from './pth.js';
import { FileSource, quoted, WeightsFileError } from './reader.js';
import { indexSafetensors } from './safetensors.js';
import { indexShards, isShardIndex, refuseLoneShard } from './shards.js';
import { TensorSpec } from './unpickle.js';

/** An object that is no data: where it is in the file, and its class. */
export interface ForeignEntry {
  readonly path: string;
  readonly name: string;
}

/** What is known of a tensor before it is read. */
export interface WeightsEntry {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** What a weights file holds. Its tensors are read when they are asked for. */
export interface WeightsIndex {
  /** Tensors by name, in the file's order; of a .pth the names have the keys of all dictionaries before them. */
  readonly entries: ReadonlyMap<string, WeightsEntry>;
  /**
   * Of a safetensors file its texts; of a .pth the texts, numbers, truths and short lists (as JSON) beside the tensors, to
   * the third level: `epoch`, `meta.CLASSES`. Without prototype.
   */
  readonly metadata: Record<string, string>;
  /** What the names of the state dict begin with that `loadWeights` takes: '' for the whole file, or `state_dict.` */
  readonly stateDict: string;
  /** Objects of other programs; none was run. */
  readonly foreign: readonly ForeignEntry[];
  /** The tensors of these names, all by default. @throws WeightsFileError for damaged ones. */
  read(names?: Iterable<string>): Map<string, Tensor>;
}

/** Keys under which training programs keep the state dict, the usual ones first. */
const CONTAINERS = [
  ...['state_dict', 'model', 'model_state_dict', 'net', 'network', 'module', 'student'],
  ...['state_dict_ema', 'model_ema', 'ema', 'teacher'],
];
const MOST_NESTING = 32;
const MOST_ENTRIES = 1 << 20;
const METADATA_LEVELS = 3;
const MOST_METADATA_LIST = 1024;

/**
 * Looks into a weights file: safetensors, a .pth, or the `*.index.json` of one that is in several files. Kinds are told
 * apart by content.
 * @throws WeightsFileError for files of other kinds, faulty ones, and one file of several
 */
export function indexWeights(path: string, options: LoadOptions = {}): WeightsIndex {
  if (isShardIndex(path)) return indexShards(path, (shard) => indexFile(shard, options));
  refuseLoneShard(path);
  return indexFile(path, options);
}

function indexFile(path: string, options: LoadOptions): WeightsIndex {
  if (sniff(path) === 'safetensors')
    return { ...indexSafetensors(path, options), stateDict: '', foreign: [] };
  const parsed = parsePth(path);
  const { specs, foreign } = collectEntries(parsed);
  return {
    entries: new Map(
      [...specs].map(([name, spec]) => [name, { shape: spec.size, dtype: spec.storage.dtype }]),
    ),
    metadata: collectMetadata(parsed.tree),
    stateDict: findStateDict(parsed.tree),
    foreign,
    read: (names = specs.keys()) => {
      const chosen = [...names].map((name) => [name, specs.get(name)!] as const);
      // Names of one tensor stay one tensor.
      const made = new Map<TensorSpec, Tensor>();
      return readTensors(
        parsed,
        (attach) =>
          new Map(
            chosen.map(([name, spec]) => {
              const tensor = made.get(spec) ?? attach(spec);
              made.set(spec, tensor);
              return [name, tensor];
            }),
          ),
        options,
      );
    },
  };
}

function sniff(path: string): 'safetensors' | 'pth' {
  const file = new FileSource(path);
  const head = file.read(0, Math.min(file.size, 32));
  file.close();
  if (head.subarray(0, 4).equals(Buffer.from('PK\x03\x04')) || head[0] === 0x80) {
    // A safetensors header's length may begin with the same byte as a pickle, but then { follows the length.
    return head.length > 8 && head.readUInt32LE(4) === 0 && head[8] === 0x7b ? 'safetensors' : 'pth';
  }
  if (head[8] === 0x7b) return 'safetensors';
  const start = head.toString('latin1');
  const what = start.startsWith('version https://git-lfs')
    ? 'a Git LFS pointer, not the file itself: fetch it with git lfs pull'
    : /^\s*<(!doctype|html)/i.test(start)
      ? 'a web page, not weights: the download went to a page'
      : file.size === 0
        ? 'an empty file'
        : 'neither a safetensors file nor one of torch.save';
  throw new WeightsFileError(`${path}: ${what}`);
}

/** A dictionary, or what stands for an object: its items, or the members of a module that was saved as a whole. */
function childrenOf(node: Plain<TensorSpec>): Iterable<readonly [unknown, Plain<TensorSpec>]> {
  if (node instanceof Map || Array.isArray(node)) return node.entries();
  if (!(node instanceof ForeignObject)) return [];
  const { state, items } = node as ForeignObject<TensorSpec>;
  if (items !== null) return items.entries();
  if (!(state instanceof Map)) return [];
  if (!isModule(node)) return state.entries();
  return MEMBERS.flatMap((key) => [...(asMap(state.get(key)) ?? [])]);
}

/** The attributes of a torch.nn.Module that make its state dict. */
const MEMBERS = ['_parameters', '_buffers', '_modules'] as const;

function isModule({ state }: ForeignObject): boolean {
  return state instanceof Map && MEMBERS.every((key) => state.has(key));
}

function asMap(node: Plain<TensorSpec> | undefined): Map<Plain<TensorSpec>, Plain<TensorSpec>> | null {
  if (node instanceof Map) return node;
  return node instanceof ForeignObject ? (node as ForeignObject<TensorSpec>).items : null;
}

function findStateDict(tree: Plain<TensorSpec>): string {
  const root = asMap(tree);
  const key = CONTAINERS.find((candidate) => {
    const inner = asMap(root?.get(candidate));
    return inner !== null && [...inner.values()].some((item) => item instanceof TensorSpec);
  });
  return key === undefined ? '' : `${key}.`;
}

function collectEntries({ path, tree }: ParsedPth): {
  specs: Map<string, TensorSpec>;
  foreign: ForeignEntry[];
} {
  const fault = (what: string) => new WeightsFileError(`${path}: ${what}`);
  const specs = new Map<string, TensorSpec>();
  const foreign: ForeignEntry[] = [];
  const above = new Set<Plain<TensorSpec>>();
  let entries = 0;
  const visit = (node: Plain<TensorSpec>, name: string): void => {
    if (node instanceof TensorSpec) {
      if (specs.has(name)) throw fault(`the state dict has two tensors with the name ${quoted(name)}`);
      specs.set(name, node);
      return;
    }
    // What is nested deeper, or within itself, is no state dict.
    if (typeof node !== 'object' || above.has(node) || above.size > MOST_NESTING) return;
    above.add(node);
    const before = [specs.size, foreign.length] as const;
    for (const [key, value] of childrenOf(node)) {
      if (++entries > MOST_ENTRIES) throw fault(`has more than ${MOST_ENTRIES} entries`);
      if (value === null || typeof value !== 'object') continue;
      if (typeof key === 'string' || typeof key === 'number')
        visit(value, name === '' ? `${key}` : `${name}.${key}`);
    }
    above.delete(node);
    // What holds tensors is a container, as a module that was saved as a whole is.
    if (!(node instanceof ForeignObject) || specs.size > before[0] || isModule(node)) return;
    foreign.length = before[1];
    foreign.push({ path: name, name: node.name });
  };
  visit(tree, '');
  return { specs, foreign };
}

/** What is neither tensor nor deep: see {@link WeightsIndex}. */
function collectMetadata(root: Plain<TensorSpec>): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  const visit = (node: Plain<TensorSpec>, name: string, level: number): void => {
    if (['string', 'number', 'bigint', 'boolean'].includes(typeof node)) {
      metadata[name] = String(node);
    } else if (Array.isArray(node)) {
      const list = asPlainList(node);
      if (list) metadata[name] = JSON.stringify(list);
    } else if (level < METADATA_LEVELS) {
      // Also of kinds of dictionaries, as Lightning and mmengine keep their options in.
      for (const [key, value] of asMap(node) ?? []) {
        if (typeof key === 'string') visit(value, name === '' ? key : `${name}.${key}`, level + 1);
      }
    }
  };
  if (root instanceof Map) visit(root, '', 0);
  return metadata;
}

/** A list of texts and numbers, or of lists of them; undefined for others. */
function asPlainList(node: Plain<TensorSpec>[], isInner = false): unknown[] | undefined {
  if (node.length === 0 || node.length > MOST_METADATA_LIST) return undefined;
  const list: unknown[] = [];
  for (const item of node) {
    const plain = Array.isArray(item) && !isInner ? asPlainList(item, true) : item;
    if (!(typeof plain === 'string' || typeof plain === 'number' || Array.isArray(plain))) return undefined;
    list.push(plain);
  }
  return list;
}
