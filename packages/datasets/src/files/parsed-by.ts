// Values from files against schemas, whatever the values are.

import { z } from 'zod';

/**
 * Zod's `safeParse`, which compares the `length` of whatever has one with the bounds of a list or text, also where the value
 * is neither. A length that nothing compares with (JSON can write `{"length": {"toString": 0}}`) makes it throw; here it is
 * refused.
 */
export function parsedBy<T extends z.ZodType>(schema: T, value: unknown): z.ZodSafeParseResult<z.output<T>> {
  try {
    return schema.safeParse(value);
  } catch (error) {
    if (!(error instanceof TypeError && /object to primitive/.test(error.message))) throw error;
    const message = "a value has a 'length' that is no number";
    const issue = { code: 'custom' as const, path: [], input: value, message };
    return { success: false, error: new z.ZodError([issue]) as z.ZodError<z.output<T>> };
  }
}
