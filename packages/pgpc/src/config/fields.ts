// What schemas are made of: ranges that many fields share, and fields that say what they are.

import { z } from 'zod';

export const share = z.number().min(0).max(1);
export const count = z.number().int().min(1);

/** One field of an object's schema, for help texts and tables. */
export interface Field {
  readonly key: string;
  /** What it is; empty where the schema does not say. */
  readonly text: string;
  /** The value of a part that is chosen by name; undefined where there is none. */
  readonly fallback: unknown;
  /** The words that it can be; undefined for numbers and objects. */
  readonly words: readonly string[] | undefined;
}

/**
 * A field with its description and, where it has one, its default: the one place that help texts, tables and named
 * choices take them from. The default is not filled in by parsing, so that a saved configuration stays as it was.
 */
export function field<T extends z.ZodType>(schema: T, text: string, fallback?: z.output<T>): T {
  return schema.meta({ description: text, ...(fallback !== undefined && { fallback }) }) as T;
}

/** The schema inside of `optional`, `default` and checks. */
export function inner(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? inner(schema.unwrap() as z.ZodType)
    : schema;
}

/** The fields of an object's schema, in their order. */
export function fieldsOf(schema: z.ZodObject): Field[] {
  return Object.entries(schema.shape as Record<string, z.ZodType>).map(([key, value]) => {
    const type = inner(value);
    const { description = '', fallback } = { ...type.meta(), ...value.meta() };
    const words = type instanceof z.ZodEnum ? (type.options as string[]) : undefined;
    return { key, text: description, fallback, words };
  });
}

/** The fields that have a default, at their defaults. */
export function defaultsOf<T extends z.ZodObject>(schema: T): z.output<T> {
  const entries = fieldsOf(schema).flatMap(({ key, fallback }) =>
    fallback === undefined ? [] : [[key, structuredClone(fallback)] as const],
  );
  return Object.fromEntries(entries) as z.output<T>;
}
