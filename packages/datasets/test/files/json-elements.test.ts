// Objects of lists in JSON files: the same as JSON.parse reads, however the file is cut into chunks.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { forEachElement } from '../../src/files/json-elements.js';
import { failure, Workspace } from '../support/files.js';

const space = new Workspace();

async function elements(text: string, name: string): Promise<unknown[]> {
  const found: unknown[] = [];
  await forEachElement(await space.put('a.json', text), { [name]: (element) => found.push(element) });
  return found;
}

describe('forEachElement', () => {
  it('reads what JSON.parse reads', async () => {
    const objects = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(objects, fc.jsonValue(), fc.constantFrom(0, 1, 2), async (list, other, indent) => {
        const file = { before: other, list, 'li"st': [{ no: 1 }], after: [other, { list: [{}] }] };
        const plain = JSON.parse(JSON.stringify(list));
        expect(await elements(JSON.stringify(file, null, indent), 'list')).toEqual(plain);
        expect(await elements(JSON.stringify(list, null, indent), '')).toEqual(plain);
      }),
      { numRuns: 40 },
    );
  });

  it('reads objects that lie across chunks', async () => {
    const list = Array.from({ length: 3 }, (_, id) => ({ id, text: 'ü"\\'.repeat(400_000) }));
    expect(await elements(JSON.stringify({ list }), 'list')).toEqual(list);
  });

  it('names files that are missing, cut off or no JSON', async () => {
    expect(await failure(forEachElement(space.path('none.json'), {}))).toMatch(/none\.json: not found/);
    expect(await failure(elements('{"list": [{"a": 1}, {"b": ', 'list'))).toMatch(/a\.json: .*ends early/);
    expect(await failure(elements('{"list": [{"a": 1,}]}', 'list'))).toMatch(/not a readable JSON file/);
    expect(await elements('{"constructor": [{}]}', 'list')).toEqual([]);
  });
});
