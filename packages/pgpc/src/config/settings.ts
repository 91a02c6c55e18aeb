// Changes to an experiment by dotted keys, as in `method.contrast.rank=3`.

import { z } from 'zod';
import { didYouMean } from './did-you-mean.js';
import { type Experiment, experimentSchema, parseExperiment } from './experiment.js';
import { inner } from './fields.js';
import { partsSchema, registeredParts } from './parts.js';
import { spelling } from './segmentor.js';

/** Values by dotted key; null leaves an optional part out. */
export type Settings = Readonly<Record<string, unknown>>;

type Keys = ReadonlyMap<string, z.ZodType>;

/**
 * The experiment with the values put in, in their order, checked anew.
 * @param settings such as `{ 'method.contrast.rank': 3, 'method.style': { kind: 'fda', beta: 0.05 } }`.
 * @throws Error for a key that no experiment has, with the nearest that one has; for a key inside of a part that this
 *   experiment leaves out; and for a value that does not fit, with what is allowed.
 */
export function withSettings(experiment: Experiment, settings: Settings): Experiment {
  const changed = structuredClone(experiment) as Record<string, unknown>;
  for (const [key, value] of Object.entries(settings)) {
    checkKey(key);
    const path = key.split('.');
    const last = path.pop()!;
    let place = changed;
    for (const [depth, name] of path.entries()) {
      const inner = place[name];
      if (typeof inner !== 'object' || inner === null) {
        const part = path.slice(0, depth + 1).join('.');
        throw new Error(
          `setting ${key}: this experiment has no ${part}; choose a method that has it, or set all of ${part} as JSON`,
        );
      }
      place = inner as Record<string, unknown>;
    }
    if (value === null) delete place[last];
    else place[last] = spelled(value, schemaOf(key));
  }
  return parseExperiment(changed);
}

/** Parts that only a method with a teacher can have. */
const WITH_TEACHER = [
  'method.contrast',
  'method.maskedConsistency',
  'method.denoise',
  'method.weighting',
  'method.parts',
];

/**
 * Whether the experiment has the part that the key is in, or can have the part that the key is.
 * @param key one that {@link checkKey} accepts.
 */
export function hasPlaceFor(experiment: Experiment, key: string): boolean {
  if (WITH_TEACHER.includes(key) && !experiment.method.selfTraining) return false;
  let place: unknown = experiment;
  for (const name of key.split('.').slice(0, -1))
    place = (place as Record<string, unknown> | undefined)?.[name];
  return place !== undefined;
}

/**
 * {@link withSettings} by what the experiment has a place for.
 * @param allowed keys that are set at all; left out: all.
 */
export function withFittingSettings(
  experiment: Experiment,
  settings: Settings,
  allowed: (key: string) => boolean = () => true,
): Experiment {
  const fitting = Object.entries(settings).filter(([key]) => allowed(key) && hasPlaceFor(experiment, key));
  return withSettings(experiment, Object.fromEntries(fitting));
}

/** A word as the schema spells it: `mit-b5` is `mit_b5`. What is none of its words stays, to be refused. */
function spelled(value: unknown, schema: z.ZodType): unknown {
  if (typeof value !== 'string' || !(schema instanceof z.ZodEnum)) return value;
  const words = schema.options as string[];
  if (words.includes(value)) return value;
  return words.find((word) => spelling(word) === spelling(value)) ?? value;
}

/** @throws Error if no experiment has the key, with the nearest that one can have. */
export function checkKey(key: string): void {
  schemaOf(key);
}

function schemaOf(key: string): z.ZodType {
  const path = key.split('.');
  let keys = keysOf(experimentSchema);
  let schema: z.ZodType = experimentSchema;
  for (const [depth, name] of path.entries()) {
    const found = keys.get(name);
    if (found === undefined) {
      const part = path.slice(0, depth).join('.');
      throw new Error(`setting ${key}: ${explained(part, name, keys)}`);
    }
    keys = keysOf(found);
    schema = inner(found);
  }
  return schema;
}

function explained(part: string, name: string, keys: Keys): string {
  const whole = part || 'an experiment';
  if (keys.size === 0) return `${whole} is one value, without keys of its own`;
  const inPart = didYouMean(name, [...keys.keys()]);
  // Somebody who writes `rank` means a key further down.
  const elsewhere = allKeys().filter((key) => key.endsWith(`.${name}`));
  const hint = inPart || (elsewhere.length > 0 ? ` (did you mean '${elsewhere.join("' or '")}'?)` : '');
  return `${whole} has no '${name}'${hint}; it has ${[...keys.keys()].join(', ')}`;
}

/** Every dotted key that an experiment can have. */
function allKeys(schema: z.ZodType = experimentSchema, prefix = ''): string[] {
  return [...keysOf(schema)].flatMap(([name, inner]) => [
    `${prefix}${name}`,
    ...allKeys(inner, `${prefix}${name}.`),
  ]);
}

/** The keys of an object's schema, of all members of a union, or of the registered parts. */
function keysOf(schema: z.ZodType): Keys {
  const type = inner(schema);
  if (type === partsSchema) {
    return new Map(registeredParts().map(({ name, options }) => [name, options]));
  }
  if (type instanceof z.ZodUnion) {
    return new Map(type.options.flatMap((member) => [...keysOf(member as z.ZodType)]));
  }
  return new Map(type instanceof z.ZodObject ? Object.entries(type.shape as Record<string, z.ZodType>) : []);
}
