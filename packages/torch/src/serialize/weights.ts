// Any weights file as names and tensors: safetensors, or the state dict inside of a .pth.
import { Tensor } from '../tensor.js';
import { type LoadOptions, loadPth, type PickleValue } from './pth.js';
import { FileSource, quoted, WeightsFileError } from './reader.js';
import { loadSafetensors, type Weights } from './safetensors.js';
import { replaceLeaves } from './unpickle.js';

const STATE_DICT_KEYS = ['state_dict', 'model'];
const MOST_NESTING = 16;
const MOST_ENTRIES = 1 << 20;

type Dictionary = Extract<PickleValue, Map<unknown, unknown>>;

/**
 * Reads a weights file of either kind, told apart by content. In a .pth the state dict is the dictionary under
 * `state_dict` or `model` if it has tensors, else the whole; dictionaries inside of it give dotted names, and its
 * entries that are no tensors are left out. `metadata` has the texts of a safetensors file, or a .pth's texts, numbers
 * and booleans outside of the state dict, from its top level (`epoch`) and the one below (`meta.time`).
 *
 * @throws WeightsFileError for files of other kinds, faulty ones (see {@link loadSafetensors} and {@link loadPth}) and
 * those without tensors by name.
 */
export function loadWeights(path: string, options: LoadOptions = {}): Weights {
  if (sniff(path) === 'safetensors') return loadSafetensors(path, options);
  const root = loadPth(path, options);
  const tensors = new Map<string, Tensor>();
  try {
    if (!(root instanceof Map)) throw new WeightsFileError(`${path}: holds no dictionary at its top`);
    const state = STATE_DICT_KEYS.map((key) => root.get(key)).find(hasTensor) ?? root;
    collectTensors(state, tensors, path);
    return { tensors, metadata: collectMetadata(root, state) };
  } catch (error) {
    tensors.clear();
    throw error;
  } finally {
    const wanted = new Set(tensors.values());
    replaceLeaves(root, (tensor: Tensor) => {
      if (!wanted.has(tensor)) tensor.dispose();
      return tensor;
    });
  }
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
      : 'neither a safetensors file nor one of torch.save';
  throw new WeightsFileError(`${path}: ${what}`);
}

function hasTensor(value: PickleValue | undefined): value is Dictionary {
  return value instanceof Map && [...value.values()].some((item) => item instanceof Tensor);
}

function collectTensors(state: Dictionary, tensors: Map<string, Tensor>, path: string): void {
  const fault = (what: string) => new WeightsFileError(`${path}: the state dict ${what}`);
  let entries = 0;
  const visit = (dictionary: Dictionary, prefix: string, depth: number): void => {
    if (depth > MOST_NESTING) throw fault(`nests more than ${MOST_NESTING} dictionaries`);
    for (const [key, value] of dictionary) {
      if (++entries > MOST_ENTRIES) throw fault(`has more than ${MOST_ENTRIES} entries`);
      if (!(value instanceof Tensor || value instanceof Map)) continue;
      if (typeof key !== 'string' && typeof key !== 'number') {
        throw fault('has a key that is no text or number');
      }
      const name = `${prefix}${key}`;
      if (value instanceof Map) {
        visit(value, `${name}.`, depth + 1);
      } else {
        if (tensors.has(name)) throw fault(`has two tensors with the name ${quoted(name)}`);
        tensors.set(name, value);
      }
    }
  };
  visit(state, '', 1);
  if (tensors.size === 0) throw fault('has no tensors');
}

function collectMetadata(root: Dictionary, state: Dictionary): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  const take = (name: string, value: PickleValue): void => {
    if (['string', 'number', 'bigint', 'boolean'].includes(typeof value)) metadata[name] = String(value);
  };
  for (const [key, value] of textEntries(root)) {
    if (!(value instanceof Map)) take(key, value);
    else if (value !== state) for (const [inner, item] of textEntries(value)) take(`${key}.${inner}`, item);
  }
  return metadata;
}

function textEntries(dictionary: Dictionary): [string, PickleValue][] {
  return [...dictionary].filter((entry): entry is [string, PickleValue] => typeof entry[0] === 'string');
}
