// A data set in a network's classes: by name, by place where there are no names, refused where neither tells.
import { type ClassInfo, openFolder } from '@pgpc/datasets';
import { expect, test } from 'vitest';
import { grey, rgb, Workspace } from '../../../datasets/test/support/files.js';
import { alignClasses } from '../../src/evaluation/classes.js';

const space = new Workspace();

const network = (...names: string[]) => ({
  config: { classes: names.length },
  classInfo: names.map(
    (name, trainId): ClassInfo => ({
      trainId,
      labelId: 10 * trainId,
      name,
      color: [trainId, 0, 0],
      kind: 'stuff',
    }),
  ),
});

async function folder(classes: string | undefined, ...values: number[]) {
  if (classes !== undefined) await space.put('classes.yaml', `classes: [${classes}]`);
  await space.put('images/val/1.png', rgb(values.length, 1));
  await space.put('masks/val/1.png', grey(values.length, 1, values));
  return openFolder(space.root, 'val');
}

test('classes in another order go by their names, and keep the network’s values', async () => {
  const data = await folder('sky, ROAD, side_walk', 0, 1, 2);
  const found = network('road', 'side walk', 'Sky');
  const { dataset } = alignClasses(data, found);
  expect([...(await dataset.readLabel(0)).data]).toEqual([2, 0, 1]);
  expect(dataset.classes).toEqual(found.classInfo);
});

test('the same names in the same order leave the data set as it is', async () => {
  const data = await folder('road, sky', 0, 1);
  expect(alignClasses(data, network('Road', 'sky'))).toEqual({ dataset: data, mapped: undefined });
});

test('masks or networks without names go by place, if there are as many', async () => {
  const unnamed = await folder(undefined, 0, 1, 2);
  expect(alignClasses(unnamed, network('a', 'b', 'c')).dataset).toBe(unnamed);
  expect(() => alignClasses(unnamed, network('a', 'b'))).toThrow(
    /network has 2 classes and .* has 3: .* --classes/,
  );
  const named = await folder('a, b, c', 0, 1, 2);
  expect(alignClasses(named, network('class0', 'class1', 'class2')).dataset).toBe(named);
  expect(alignClasses(named, { config: { classes: 3 } }).dataset).toBe(named);
  expect(() => alignClasses(named, { config: { classes: 4 } })).toThrow(/network has 4 classes and .* has 3/);
  const two = {
    classes: [
      { name: 'x', from: ['a', 'b'] },
      { name: 'y', from: ['c'] },
    ],
    ignore: [],
  };
  const { dataset } = alignClasses(named, { config: { classes: 2 } }, two);
  expect([...(await dataset.readLabel(0)).data]).toEqual([0, 0, 1]);
  expect(() => alignClasses(named, { config: { classes: 3 } }, two)).toThrow(
    /3 classes and the mapping has 2/,
  );
});

test('without a class in common there is nothing to score', async () => {
  const data = await folder('pavement, tree', 0, 1);
  expect(() => alignClasses(data, network('sidewalk', 'plant', 'sky'))).toThrow(
    /has none of the network's classes: it has pavement, tree, and the network sidewalk, plant, sky; --classes/,
  );
});
