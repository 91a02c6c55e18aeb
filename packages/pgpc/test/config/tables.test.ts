// The tables of options in docs/options.md are the schemas' own. `PGPC_RECORD=1 npx vitest run tables` writes them.

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import { batchContrastSchema } from '../../src/config/batch-contrast.js';
import { contrastSchema } from '../../src/config/contrast.js';
import { denoiseSchema } from '../../src/config/denoise.js';
import { experimentSchema } from '../../src/config/experiment.js';
import { featureDistanceSchema } from '../../src/config/feature-distance.js';
import { fieldsOf, inner } from '../../src/config/fields.js';
import { weightingSchema } from '../../src/config/loss-weights.js';
import { maskedConsistencySchema } from '../../src/config/masked-consistency.js';
import { multiResolutionSchema } from '../../src/config/multi-resolution.js';
import { rareClassSchema } from '../../src/config/rare-classes.js';
import { selfTrainingSchema } from '../../src/config/self-training.js';
import { styleSchema } from '../../src/config/style.js';

const PAGE = new URL('../../../../docs/options.md', import.meta.url);

/** The member of a union of kinds. */
const kind = (schema: z.ZodType, index: number) =>
  (inner(schema) as z.ZodDiscriminatedUnion).options[index] as z.ZodObject;

const tables: Record<string, z.ZodObject> = {
  'method.selfTraining': selfTrainingSchema,
  'method.featureDistance': featureDistanceSchema,
  'method.contrast': contrastSchema,
  'method.batchContrast': batchContrastSchema,
  'method.maskedConsistency': maskedConsistencySchema,
  'segmentor.multiResolution': multiResolutionSchema,
  'method.style: fda': kind(styleSchema, 0),
  'method.style: dcan': kind(styleSchema, 1),
  'method.denoise: prototypes': kind(denoiseSchema, 0),
  'method.denoise: agreement': kind(denoiseSchema, 1),
  'method.weighting: gradient-norm': kind(weightingSchema, 0),
  'method.weighting: uncertainty': kind(weightingSchema, 1),
  rareClasses: rareClassSchema,
  experiment: experimentSchema,
};

function shown(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'number' && !Number.isInteger(value)) return String(Number(value.toPrecision(4)));
  return typeof value === 'string' ? `\`${value}\`` : JSON.stringify(value).replaceAll(',', ', ');
}

function table(schema: z.ZodObject): string {
  const rows = fieldsOf(schema)
    .filter(({ key, text }) => text !== '' && key !== 'kind')
    .map(({ key, text, fallback, words }) => {
      const choices = words ? `; one of ${words.map((word) => `\`${word}\``).join(', ')}` : '';
      return `| \`${key}\` | ${shown(fallback)} | ${text}${choices} |`;
    });
  return ['| option | default | |', '| --- | --- | --- |', ...rows].join('\n');
}

test('the tables of docs/options.md are the schemas’ own', () => {
  const page = readFileSync(PAGE, 'utf8');
  const found: string[] = [];
  const made = page.replace(
    /(<!-- options of (.+?) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, open, name, close) => {
      found.push(name);
      return `${open}\n${table(tables[name]!)}\n\n${close}`;
    },
  );
  expect(found.sort()).toEqual(Object.keys(tables).sort());
  if (process.env.PGPC_RECORD === '1') writeFileSync(PAGE, made);
  else expect(page).toBe(made);
});

test('every option of a method says what it is', () => {
  for (const [name, schema] of Object.entries(tables)) {
    const silent = fieldsOf(schema).filter(({ text }) => text === '');
    // Parts, which have tables of their own.
    if (name !== 'experiment') expect(silent).toEqual([]);
  }
});
