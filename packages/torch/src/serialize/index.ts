// Weights files: safetensors both ways, and PyTorch's .pth read safely.

export { type LoadOptions, loadPth, type PickleValue } from './pth.js';
export { WeightsFileError } from './reader.js';
export { loadSafetensors, saveSafetensors, type Weights } from './safetensors.js';
export { loadWeights } from './weights.js';
