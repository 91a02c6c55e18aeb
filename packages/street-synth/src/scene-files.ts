// One rendered scene on disk: its image and its label, in the form of a layout.
import {
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  DatasetError,
  encodePng,
  encodeRgb,
  LABEL_PALETTE,
  type PngImage,
  type SourceLayout,
  synthiaLabelId,
  writeWhole,
} from '@pgpc/datasets';
import { type RenderedScene, renderScene, type SceneRequest } from './render.js';

/** A scene to render, and where it goes. */
export interface SceneTask {
  request: SceneRequest;
  layout: SourceLayout | 'cityscapes';
  /** Paths of its files, whose folders are there. */
  image: string;
  label: string;
}

const PALETTE = LABEL_PALETTE.map((color) => [...color]);

/** Renders a scene into its files. @throws {DatasetError} when one cannot be written */
export async function writeScene({ request, layout, image, label }: SceneTask): Promise<void> {
  const scene = renderScene(request);
  await put(image, await encodeRgb(scene.image, 2));
  await put(label, encodePng(labelPng(layout, scene), { zlib: { level: 3 } }));
}

const SYNTHIA_IDS = Uint16Array.from(CITYSCAPES_LABEL_TO_TRAIN_ID, synthiaLabelId);

/** GTA5's labels carry a palette and Cityscapes' are grey, the value of both a label id; SYNTHIA's have 16 bits. */
function labelPng(
  layout: SceneTask['layout'],
  { image: { width, height }, labelIds }: RenderedScene,
): PngImage {
  if (layout === 'cityscapes') return { width, height, data: labelIds, channels: 1 };
  if (layout === 'gta5') return { width, height, data: labelIds, channels: 1, palette: PALETTE };
  const data = new Uint16Array(3 * labelIds.length);
  for (const [i, labelId] of labelIds.entries()) data[3 * i] = SYNTHIA_IDS[labelId]!;
  return { width, height, data, channels: 3, depth: 16 };
}

/** Writes a file as a whole. @throws {DatasetError} when it cannot be written */
export async function put(file: string, content: Uint8Array | string): Promise<void> {
  try {
    await writeWhole(file, content);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new DatasetError(
      `${file}: cannot be written (${code}); check the disk's free space and permissions`,
      { cause: error },
    );
  }
}
