// Values with names that a schema library looks at by itself.

import { expect, test } from 'vitest';
import { z } from 'zod';
import { parsedBy } from '../../src/files/parsed-by.js';

test.each([
  ['a list', z.object({ classes: z.array(z.string()).min(1) })],
  ['a text', z.object({ classes: z.string().max(3) })],
])('refuses an object whose length compares with nothing, where %s is wanted', (_, schema) => {
  for (const length of [{ toString: '' }, { valueOf: 1, toString: null }]) {
    const { success, error } = parsedBy(schema, { classes: { length } });
    expect([success, error?.issues[0]?.message]).toEqual([false, "a value has a 'length' that is no number"]);
  }
});

test('is safeParse for all else, and hides no mistake of a schema', () => {
  const schema = z.object({ classes: z.array(z.string()).min(1) });
  for (const classes of [['a'], [], { length: 2 }, { length: '2' }, null]) {
    expect(parsedBy(schema, { classes })).toEqual(schema.safeParse({ classes }));
  }
  const wrong = z.string().transform((text) => (text as unknown as { missing: string[] }).missing.length);
  expect(() => parsedBy(wrong, 'a')).toThrow(TypeError);
});
