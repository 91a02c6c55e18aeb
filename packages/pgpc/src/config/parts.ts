// Registered parts: what a program adds to the library's own parts, each with its options.

import { z } from 'zod';
import { didYouMean } from './did-you-mean.js';
import { defaultsOf, type Field, fieldsOf } from './fields.js';

/** A part as configuration knows it. */
export interface PartOptions {
  /** Its key in `method.parts`. */
  readonly name: string;
  /** What it is, in a few words. */
  readonly text: string;
  /** Its options, each a `field` with description and default. */
  readonly options: z.ZodObject;
}

const registered = new Map<string, PartOptions>();

/** @throws Error for a name that is taken, or no plain word. */
export function registerOptions(part: PartOptions): void {
  if (!/^[a-z][\w-]*$/i.test(part.name)) throw new Error(`a part cannot be named '${part.name}'`);
  if (registered.has(part.name)) throw new Error(`there is a part '${part.name}' already`);
  registered.set(part.name, part);
}

/** The registered parts, in the order of their registration. */
export function registeredParts(): readonly PartOptions[] {
  return [...registered.values()];
}

/** Options by part. An option that is left out has its default. */
export const partsSchema = z
  .record(z.string(), z.record(z.string(), z.unknown()))
  .transform((given, context) => {
    const parts: Record<string, Record<string, unknown>> = {};
    for (const [name, options] of Object.entries(given)) {
      const part = registered.get(name);
      if (!part) {
        const names = [...registered.keys()];
        const known = names.length > 0 ? `registered are ${names.join(', ')}` : 'none is registered';
        context.addIssue(
          `there is no part '${name}'${didYouMean(name, names)}; ${known}. --plugin loads the module that registers one`,
        );
        continue;
      }
      const parsed = part.options.safeParse({ ...defaultsOf(part.options), ...options });
      if (parsed.success) parts[name] = parsed.data;
      else
        for (const issue of parsed.error.issues) context.addIssue({ ...issue, path: [name, ...issue.path] });
    }
    return parts;
  });

/** The registered options as help shows them: one line each, `method.parts.NAME.KEY (default): what it is`. */
export function describeParts(): string[] {
  return registeredParts().flatMap(({ name, text, options }) => [
    `method.parts.${name}: ${text}`,
    ...fieldsOf(options).map(
      ({ key, fallback, text }: Field) =>
        `method.parts.${name}.${key}${fallback === undefined ? '' : ` (${JSON.stringify(fallback)})`}: ${text}`,
    ),
  ]);
}
