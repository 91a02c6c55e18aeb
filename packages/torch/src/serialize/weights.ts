// Any weights file as names and tensors: safetensors, or the state dict inside of a .pth.
import type { LoadOptions } from './pth.js';
import { quoted, WeightsFileError } from './reader.js';
import type { Weights } from './safetensors.js';
import { indexWeights } from './weights-index.js';

/**
 * Reads a weights file, told apart by content: safetensors, a .pth, or the `*.index.json` of one in several files. In a
 * .pth the state dict is the dictionary under `state_dict`, `model` or another usual key if it has tensors, else the
 * whole; dictionaries inside of it give dotted names. `metadata` is as of `indexWeights`, which looks without choosing.
 *
 * @throws WeightsFileError for files of other kinds, faulty ones (see {@link loadSafetensors} and {@link loadPth}), those
 * without tensors by name, and those whose state dict has an entry that is an object of another program.
 */
export function loadWeights(path: string, options: LoadOptions = {}): Weights {
  const { entries, metadata, foreign, stateDict, read } = indexWeights(path, options);
  const names = [...entries.keys()].filter((name) => name.startsWith(stateDict));
  if (entries.size === 0) {
    const [other] = foreign;
    const what = other === undefined ? '' : `; it holds ${other.name}, which is no data`;
    throw new WeightsFileError(`${path}: the state dict has no tensors${what}`);
  }
  // Of layers that keep a state of their own in Python, which is no weight.
  const lost = foreign.find(
    ({ path }) => stateDict !== '' && path.startsWith(stateDict) && !path.endsWith('_extra_state'),
  );
  if (lost !== undefined) {
    throw new WeightsFileError(
      `${path}: the state dict's entry ${quoted(lost.path.slice(stateDict.length))} is ${lost.name}, not a tensor that can be read`,
    );
  }
  const tensors = read(names);
  return {
    tensors: new Map([...tensors].map(([name, tensor]) => [name.slice(stateDict.length), tensor])),
    metadata,
  };
}
