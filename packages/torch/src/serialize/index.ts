// Weights files: safetensors both ways, and PyTorch's .pth read safely.

export { ForeignObject } from './plain.js';
export { type LoadOptions, loadPth, type PickleValue } from './pth.js';
export { WeightsFileError } from './reader.js';
export { loadSafetensors, saveSafetensors, type Weights } from './safetensors.js';
export { loadWeights } from './weights.js';
export { type ForeignEntry, indexWeights, type WeightsEntry, type WeightsIndex } from './weights-index.js';
