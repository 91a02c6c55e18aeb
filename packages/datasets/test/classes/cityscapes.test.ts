// The class table of Cityscapes against its published definition.
import { describe, expect, it } from 'vitest';
import {
  CITYSCAPES_CLASSES,
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  CITYSCAPES_LABELS,
  GTA5_LABEL_TO_TRAIN_ID,
  LABEL_PALETTE,
} from '../../src/classes/cityscapes.js';

describe('class table', () => {
  it('has the 19 classes in the order every Cityscapes model uses', () => {
    expect(CITYSCAPES_CLASSES.map((c) => c.name).join(' / ')).toBe(
      'road / sidewalk / building / wall / fence / pole / traffic light / traffic sign / vegetation / terrain / ' +
        'sky / person / rider / car / truck / bus / train / motorcycle / bicycle',
    );
    expect(CITYSCAPES_CLASSES.map((c) => c.trainId)).toEqual([...Array(19).keys()]);
    expect(CITYSCAPES_CLASSES.map((c) => c.labelId)).toEqual([
      7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
    ]);
    expect(CITYSCAPES_CLASSES.filter((c) => c.kind === 'thing').map((c) => c.trainId)).toEqual([
      11, 12, 13, 14, 15, 16, 17, 18,
    ]);
  });

  it('has the published colours', () => {
    const color = (name: string) => CITYSCAPES_CLASSES.find((c) => c.name === name)?.color;
    expect(color('road')).toEqual([128, 64, 128]);
    expect(color('terrain')).toEqual([152, 251, 152]);
    expect(color('train')).toEqual([0, 80, 100]);
    expect(color('bicycle')).toEqual([119, 11, 32]);
    expect(new Set(CITYSCAPES_CLASSES.map((c) => c.color.join())).size).toBe(19);
  });

  it('maps every label id, and nothing else', () => {
    expect(CITYSCAPES_LABELS).toHaveLength(35);
    for (const { labelId, trainId } of CITYSCAPES_LABELS) {
      expect(CITYSCAPES_LABEL_TO_TRAIN_ID[labelId & 255]).toBe(trainId);
    }
    const known = [...CITYSCAPES_LABEL_TO_TRAIN_ID.keys()].filter(
      (v) => CITYSCAPES_LABEL_TO_TRAIN_ID[v] !== 254,
    );
    expect(known).toEqual([...Array(34).keys(), 255]);
    expect(GTA5_LABEL_TO_TRAIN_ID[34]).toBe(255);
    expect(LABEL_PALETTE[7]).toEqual([128, 64, 128]);
    expect(LABEL_PALETTE[34]).toEqual([0, 0, 142]);
  });
});
