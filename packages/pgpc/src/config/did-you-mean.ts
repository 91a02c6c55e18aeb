// Suggestions for mistyped words, where the data sets have them too.

export { didYouMean } from '@pgpc/datasets/did-you-mean';
