// Data sets and batches of them.

export { type Collated, defaultCollate } from './collate.js';
export { type Dataset, randomSplit, Subset, TensorDataset } from './dataset.js';
export { DataLoader, type DataLoaderOptions } from './loader.js';
