// Weights files: safetensors and PyTorch's .pth, both ways; nothing in a file is ever run.

export type { Picklable } from './pickle.js';
export { ForeignObject } from './plain.js';
export { type LoadOptions, loadPth, type PickleValue } from './pth.js';
export { WeightsFileError } from './reader.js';
export {
  checkSafetensors,
  loadSafetensors,
  type SaveOptions,
  saveSafetensors,
  type Weights,
} from './safetensors.js';
export { savePth } from './save-pth.js';
export { loadWeights } from './weights.js';
export { type ForeignEntry, indexWeights, type WeightsEntry, type WeightsIndex } from './weights-index.js';
