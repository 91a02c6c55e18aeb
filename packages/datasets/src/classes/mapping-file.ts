// The file of `--classes`: a run's classes, and the classes of any data set that each takes in.

import { z } from 'zod';
import { fault } from '../errors.js';
import { parsedBy } from '../files/parsed-by.js';
import { MAX_CLASSES } from './class-file.js';
import { kindOf } from './file-kind.js';
import type { ClassMapping } from './mapping.js';
import { nameKey } from './names.js';
import { colorSchema, misformed, readYaml } from './yaml.js';

// YAML reads a class that is named 1 as a number.
const nameSchema = z.union([z.string().min(1), z.number().transform(String)], {
  error: 'the name of a class is expected',
});

const classSchema = z.union([
  nameSchema.transform((name) => ({ name, from: [] as string[] })),
  z.strictObject({
    name: nameSchema,
    from: z
      .union([z.array(nameSchema), nameSchema.transform((name) => [name])])
      .optional()
      .transform((names) => names ?? []),
    color: colorSchema.optional(),
    kind: z.enum(['thing', 'stuff']).optional(),
  }),
]);

const fileSchema = z.strictObject({
  classes: z.array(classSchema).min(2, 'at least two classes are needed').max(MAX_CLASSES),
  ignore: z
    .union([
      z.literal('rest'),
      z.array(nameSchema),
      nameSchema.transform((name) => [name]),
      z.null().transform(() => [] as string[]),
    ])
    .default([]),
});

/**
 * Reads a mapping of classes (YAML, which includes JSON):
 * ```yaml
 * classes:                                       # the run's classes, in the order of their trainIds
 *   - road                                       # the classes that are named so
 *   - { name: pavement, from: [sidewalk] }       # and those named sidewalk
 *   - { name: sign, from: [traffic light, traffic sign], color: '#dcdc00', kind: stuff }
 * ignore: [rider, train]                         # or `rest`: all that is named nowhere
 * ```
 * Names are alike whatever their case, spaces, hyphens and underscores.
 * @throws {DatasetError} when the file is missing, is not as above, or gives one name to two classes
 */
export async function readMappingFile(file: string): Promise<ClassMapping> {
  const content = await readYaml(file);
  if (kindOf(content) === 'definition') {
    throw fault(
      'definition',
      file,
      `says what the values of masks mean, which is for a data set's own classes.yaml; a mapping has the run's classes, each with the names of what it takes in: { name: pavement, from: [sidewalk] }`,
    );
  }
  const parsed = parsedBy(fileSchema, content);
  if (!parsed.success) {
    throw misformed(file, parsed.error, "a list of the run's classes is expected under 'classes'");
  }
  const clash = namedTwice(parsed.data);
  if (clash !== undefined) throw fault('definition', file, clash);
  return parsed.data;
}

/**
 * Whether a file of classes is a mapping by names, which `readMappingFile` reads, and not a class file. Undefined for
 * a list of plain names, which can be either.
 * @throws {DatasetError} when the file is missing or no YAML
 */
export async function isMappingFile(file: string): Promise<boolean | undefined> {
  const kind = kindOf(await readYaml(file));
  return kind && kind === 'mapping';
}

function namedTwice({ classes, ignore }: ClassMapping): string | undefined {
  const names = new Map<string, string>();
  for (const { name } of classes) {
    if (names.has(nameKey(name))) return `two classes are named '${name}'`;
    names.set(nameKey(name), name);
  }
  const owner = new Map<string, string>();
  const given = [
    ...classes.flatMap(({ name, from }) => from.map((taken) => [taken, `'${name}'`] as const)),
    ...(ignore === 'rest' ? [] : ignore.map((taken) => [taken, 'ignore'] as const)),
  ];
  for (const [taken, by] of given) {
    const other = owner.get(nameKey(taken));
    if (other === by) return `${by} names '${taken}' twice`;
    if (other !== undefined) return `'${taken}' is given to both ${other} and ${by}`;
    owner.set(nameKey(taken), by);
  }
  return undefined;
}
