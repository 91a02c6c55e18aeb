// Annotations that are no masks: what is missing is named, whatever tool they are of.
import { describe, expect, it } from 'vitest';
import { detectLayout, openDataset } from '../../src/open.js';
import { failure, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const COCO = '{"info": {}, "images": [], "annotations": [], "categories": []}';
const opened = async () => {
  const { format } = await detectLayout(space.root);
  return failure(openDataset({ format, root: space.root, labels: 'required' }));
};

describe('polygons and boxes', () => {
  it.each([
    ['YOLO', 'images/train/a.png', 'labels/train/a.txt', '0 0.1 0.1 0.2 0.2 0.3 0.3\n'],
    ['COCO', 'images/a.png', 'annotations/instances_default.json', COCO],
    ['VOC', 'JPEGImages/a.png', 'Annotations/a.xml', '<annotation><folder>x</folder></annotation>'],
    [
      'CVAT',
      'images/a.png',
      'annotations.xml',
      '<?xml version="1.0"?><annotations><image id="0"/></annotations>',
    ],
    ['labelme', 'a.png', 'a.json', '{"version": "5", "shapes": []}'],
    ['VIA', 'a.png', 'via.json', '{"_via_settings": {}}'],
    ['COCO', 'train/a.png', 'train/_annotations.coco.json', COCO],
  ])("of %s's format, at %s with %s, are named", async (whose, image, file, text) => {
    await space.put(image, rgb(2, 1));
    await space.put(file, text);
    const message = await opened().catch(() => failure(detectLayout(space.root)));
    expect(message).toContain(`${file} holds polygons or boxes of ${whose}'s format, which are not read`);
  });

  it('are not seen in other texts', async () => {
    await space.put('images/a.png', rgb(2, 1));
    await space.put('masks/readme.txt', 'masks come later\n');
    await space.put('images/info.json', '{"camera": 1}');
    expect(await opened()).toMatch(/no masks here/);
    expect(await opened()).not.toMatch(/polygons/);
  });
});
