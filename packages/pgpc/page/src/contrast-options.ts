// What a run's configuration says of its contrast, and in words what that leaves out.

import type { RunInfo } from '../../src/training/run-directory/schema.js';

interface ContrastOptions {
  readonly type?: string;
  readonly anchorDomains?: string;
  readonly negativeDomains?: string;
}

interface Configuration {
  readonly experiment?: { readonly method?: { readonly contrast?: ContrastOptions } };
}

/** Why a run has no features to show, where its configuration says so. */
export function withoutContrast({ config }: RunInfo): string {
  const { method } = (config as Configuration).experiment ?? {};
  return method && !method.contrast
    ? 'its method has no contrast: it has no prototypes, no memory bank, no anchors and no negatives'
    : 'nothing of a contrast is recorded; `pgpc train` records it at its checkpoints, of a method with contrast';
}

/** Why a run with contrast has no picture of a kind. */
export function withoutPictures({ config }: RunInfo, kinds: ReadonlySet<string>): string[] {
  const { type, anchorDomains, negativeDomains } =
    (config as Configuration).experiment?.method?.contrast ?? {};
  const words: string[] = [];
  if (!kinds.has('anchors') && anchorDomains === 'source') words.push('all its anchors are source pixels');
  if (!kinds.has('negatives')) {
    if (type === 'pixel-to-prototype') {
      words.push('no pixel is a negative: anchors are pushed from the prototypes of the other classes');
    } else if (negativeDomains === 'source') words.push('all its negatives are source pixels');
  }
  return words;
}
