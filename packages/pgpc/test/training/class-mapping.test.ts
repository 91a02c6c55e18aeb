// Which mapping of classes a training has: of a file, of names in another order, or none.
import { openFolder } from '@pgpc/datasets';
import { describe, expect, test } from 'vitest';
import { grey, rgb, Workspace } from '../../../datasets/test/support/files.js';
import { resolveClasses, toRunClasses } from '../../src/training/class-mapping.js';

const space = new Workspace();

async function folder(name: string, classes: string, labelled = true) {
  await space.put(`${name}/classes.yaml`, classes);
  await space.put(`${name}/images/train/1.png`, rgb(3, 1));
  if (labelled) await space.put(`${name}/masks/train/1.png`, grey(3, 1, [0, 1, 2]));
  return openFolder(space.path(name), 'train');
}

const target = (name: string) => ({ format: 'folder', root: space.path(name) }) as const;

describe('without a file', () => {
  test('the same names in another order or spelling are brought to the source’s, with its values', async () => {
    const source = await folder(
      'a',
      'classes: [{ name: Road, value: 2 }, { name: side walk, value: 0 }, { name: sky, value: 1 }]',
    );
    const other = await folder('b', 'classes: [sky, road, side_walk]');
    const mapping = await resolveClasses(undefined, source, target('b'));
    expect(toRunClasses(source, mapping).dataset.classes).toEqual(source.classes);
    const { dataset } = toRunClasses(other, mapping);
    expect(dataset.classes).toEqual(source.classes);
    expect([...(await dataset.readLabel(0)).data]).toEqual([2, 0, 1]);
  });

  test('the same list needs none, another one is refused with the beginning of one', async () => {
    const source = await folder('a', 'classes: [road, sidewalk, sky]');
    await folder('same', 'classes: [road, sidewalk, sky]');
    expect(await resolveClasses(undefined, source, target('same'))).toBeUndefined();
    await folder('other', 'classes: [road, pavement, sky]');
    await expect(resolveClasses(undefined, source, target('other'))).rejects.toThrow(
      /--classes FILE says which .* begins: classes: \[road, \{ name: pavement, from: \[sidewalk\] \}, sky, \.\.\.\]$/,
    );
    // Labels that are not there cannot be misread.
    await folder('unlabelled', 'classes: [road, pavement, sky]', false);
    expect(await resolveClasses(undefined, source, target('unlabelled'))).toBeUndefined();
  });
});

describe('with a mapping', () => {
  test('unknown names and classes that are named nowhere are refused for either domain', async () => {
    const source = await folder('a', 'classes: [road, sidewalk, sky]');
    await folder('b', 'classes: [road, pavement, tree]');
    const resolve = (ignore: 'rest' | string[], ...from: string[]) =>
      resolveClasses(
        {
          classes: [
            { name: 'road', from: [] },
            { name: 'path', from },
          ],
          ignore,
        },
        source,
        target('b'),
      );
    await expect(resolve('rest', 'sidewak')).rejects.toThrow(/'sidewak', .* \(did you mean 'sidewalk'\?\)$/);
    await expect(resolve(['sky'], 'sidewalk', 'pavement')).rejects.toThrow(
      /b: its class 'tree' is named nowhere/,
    );
    expect(await resolve(['sky', 'tree'], 'sidewalk', 'pavement')).toMatchObject({
      classes: [
        { name: 'road', color: [128, 0, 0] },
        { name: 'path', color: [0, 128, 0] },
      ],
    });
  });
});
