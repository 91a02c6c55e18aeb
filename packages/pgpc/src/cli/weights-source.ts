// What `--weights` takes: a file, or the name of weights that were pulled.
import { statSync } from 'node:fs';
import { z } from 'zod';
import { didYouMean } from '../config/did-you-mean.js';
import { catalogNames, findCatalogEntry, findPulledFile, weightsFolder } from '../models/weights/catalog.js';

/** Paths of weights files, and names of pulled weights, which become paths. */
export const weightsSource: z.ZodType<string, string> = z.string().transform((text, context) => {
  if (statSync(text, { throwIfNoEntry: false })?.isFile()) return text;
  const pulled = findPulledFile(text);
  if (pulled !== undefined) return pulled;
  const known = findCatalogEntry(text);
  context.addIssue(
    known
      ? `there is no such file, and ${weightsFolder()} has not been given these weights: pgpc weights pull ${text}`
      : `there is no such file, and no weights are known by this name${didYouMean(text, catalogNames())}`,
  );
  return z.NEVER;
});
