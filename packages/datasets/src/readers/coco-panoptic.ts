// COCO's panoptic annotations: a JSON that says which class each segment of each image has, and PNGs of segments.

import path from 'node:path';
import { z } from 'zod';
import { MAX_CLASSES } from '../classes/class-file.js';
import type { Color } from '../classes/colors.js';
import { listedClasses } from '../classes/listed-classes.js';
import { fault } from '../errors.js';
import { forEachElement } from '../files/json-elements.js';
import { parsedBy } from '../files/parsed-by.js';
import { type ClassInfo, IGNORE_INDEX, type LabelCoding } from '../types.js';

/** The label of one image. */
export interface PanopticLabel {
  /** Name of the PNG, without its ending. */
  readonly png: string;
  readonly coding: LabelCoding;
}

export interface PanopticAnnotations {
  readonly classes: readonly ClassInfo[];
  /** By the name of the image, without its ending. */
  readonly labels: ReadonlyMap<string, PanopticLabel>;
}

const categorySchema = z.object({
  id: z.int().min(0),
  name: z.string().min(1),
  color: z.tuple([z.int().min(0).max(255), z.int().min(0).max(255), z.int().min(0).max(255)]).optional(),
  isthing: z.union([z.int(), z.boolean()]).optional(),
});
const imageSchema = z.object({ id: z.union([z.int(), z.string()]), file_name: z.string() });
const annotationSchema = z.object({
  image_id: z.union([z.int(), z.string()]),
  file_name: z.string(),
  segments_info: z.array(z.object({ id: z.int().min(0).max(0xffffff), category_id: z.int() })),
});

/**
 * Reads annotations in COCO's panoptic format (Kirillov et al., CVPR 2019; `rgb2id` of the panopticapi): the colour of a
 * segment in its PNG is its id, red + 256 green + 65536 blue, and 0 is void. Crowds have the class of their category.
 * Element by element, as the training set's file has 1.3 million segments.
 * @param keep whether labels are wanted, or the classes alone
 * @throws {DatasetError} when the file is missing or not of this form
 */
export async function readPanoptic(file: string, keep: boolean): Promise<PanopticAnnotations> {
  const categories: z.infer<typeof categorySchema>[] = [];
  const images = new Map<number | string, string>();
  const found: { image: number | string; png: string; coding: Extract<LabelCoding, { kind: 'colors' }> }[] =
    [];
  // Annotations come before the categories: until then classes are numbered as they come.
  const numbers = new Map<number, number>();
  const parse = <T>(schema: z.ZodType<T>, element: unknown, what: string): T => {
    const parsed = parsedBy(schema, element);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw fault(
      'definition',
      file,
      `${what}: ${issue!.path.join('.')} ${issue!.message}; panoptic annotations are expected`,
    );
  };
  const numberOf = (category: number) => {
    const number = numbers.get(category) ?? numbers.size;
    if (number >= MAX_CLASSES) throw fault('definition', file, `has more than ${MAX_CLASSES} categories`);
    numbers.set(category, number);
    return number;
  };
  await forEachElement(file, {
    categories: (element) => categories.push(parse(categorySchema, element, 'a category')),
    ...(keep && {
      images: (element: unknown) => {
        const { id, file_name } = parse(imageSchema, element, 'an image');
        images.set(id, stem(file_name));
      },
      annotations: (element: unknown) => {
        const { image_id, file_name, segments_info } = parse(annotationSchema, element, 'an annotation');
        const coding = {
          kind: 'colors' as const,
          colors: Uint32Array.from([0, ...segments_info.map(({ id }) => swapped(id))]),
          trainIds: Uint8Array.from([IGNORE_INDEX, ...segments_info.map((one) => numberOf(one.category_id))]),
        };
        found.push({ image: image_id, png: stem(file_name), coding });
      },
    }),
  });
  if (categories.length === 0)
    throw fault('definition', file, `no list 'categories'; panoptic annotations are expected`);
  categories.sort((a, b) => a.id - b.id);
  const classes = listedClasses(
    file,
    categories.map(({ id, name, color, isthing }) => ({
      name,
      value: id,
      color: color as Color | undefined,
      kind: isthing ? ('thing' as const) : ('stuff' as const),
    })),
  );
  const trainIds = new Map(categories.map(({ id }, trainId) => [id, trainId]));
  const final = new Uint8Array(256).fill(IGNORE_INDEX);
  for (const [category, number] of numbers) {
    const trainId = trainIds.get(category);
    if (trainId === undefined)
      throw fault('definition', file, `a segment has the category ${category}, which is not listed`);
    final[number] = trainId;
  }
  const labels = new Map<string, PanopticLabel>();
  for (const { image, png, coding } of found) {
    for (const [i, number] of coding.trainIds.entries()) if (i > 0) coding.trainIds[i] = final[number]!;
    labels.set(images.get(image) ?? png, { png, coding });
  }
  return { classes, labels };
}

/** An id with red in its lowest byte as 0xRRGGBB. */
const swapped = (id: number) => ((id & 255) << 16) | (id & 0xff00) | (id >> 16);

const stem = (name: string) => path.posix.parse(name).name.normalize('NFC');
