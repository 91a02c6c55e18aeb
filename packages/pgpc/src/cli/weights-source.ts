// What `--weights` takes: a file, a folder with one, or the name of weights that were pulled or come with this package.
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { didYouMean } from '../config/did-you-mean.js';
import { catalogNames, findCatalogEntry, findPulledFile, weightsFolder } from '../models/weights/catalog.js';
import { isStartName, RANDOM_START, shippedEncoder } from '../models/weights/shipped.js';
import { completing } from './values.js';

/**
 * Paths of weights files and of folders with one, names of pulled weights, which become paths, and the names `none` and
 * `street-synth`, which stay.
 */
export const weightsSource: z.ZodType<string, string> = completing(
  'files',
  z.string().transform((text, context) => {
    if (isStartName(text) || existsSync(text)) return text;
    const pulled = findPulledFile(text);
    if (pulled !== undefined) return pulled;
    const known = findCatalogEntry(text);
    context.addIssue(
      known
        ? `there is no such file or folder, and ${weightsFolder()} has not been given these weights: pgpc weights pull ${text}`
        : `there is no such file or folder, and no weights are known by this name${didYouMean(text, [...catalogNames(), shippedEncoder.name, RANDOM_START])}`,
    );
    return z.NEVER;
  }),
);
