// Writes rendered scenes to disk in the layouts of GTA5 or SYNTHIA and Cityscapes, so that the real readers read them.
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  compiledProgram,
  DatasetError,
  forEachConcurrently,
  type SourceLayout,
  ThreadPool,
} from '@pgpc/datasets';
import { put, type SceneTask, writeScene } from './scene-files.js';

/** Changes whenever the same request would render to other pixels. */
export const STREET_SYNTH_VERSION = 'street-synth/1';

export interface StreetSynthOptions {
  /** Whole number; every scene depends on it. */
  seed: number;
  /** Scenes of each split. */
  sourceTrain: number;
  sourceVal: number;
  targetTrain: number;
  targetVal: number;
  /** Default 0. */
  targetTest?: number;
  /** Scenes of neither domain, each with looks of its own; default 0. */
  varied?: number;
  /** Pixels; default 256. */
  width?: number;
  /** Pixels, of both domains; default: 9/16 of the width for the source, 1/2 for the target, as the real ones. */
  height?: number;
  /** Layout of the source; 'gta5' by default. SYNTHIA has no terrain, truck and train: there they are void. */
  sourceLayout?: SourceLayout;
  /** Threads that render; by default this one does. What is rendered does not depend on it. */
  threads?: number;
  /** Called after each scene with the scenes that are on disk and all there will be. */
  onProgress?: (done: number, total: number) => void;
  /** Stops between two scenes; what is written stays, and a later call resumes there. */
  signal?: AbortSignal;
}

/** Where the parts of a rendered data set are. */
export interface StreetSynthFolders {
  /** Root for the source's reader: labelled source scenes to train on. */
  source: string;
  /** Root for the source's reader: source scenes to validate on. */
  sourceVal: string;
  /** Root for the Cityscapes reader: target scenes of all splits. */
  target: string;
  /** Root for the source's reader: scenes of neither domain. */
  varied: string;
}

/** The folders that {@link writeStreetSynth} makes under `root`. */
export function streetSynthFolders(root: string, sourceLayout: SourceLayout = 'gta5'): StreetSynthFolders {
  return {
    source: path.join(root, sourceLayout),
    sourceVal: path.join(root, `${sourceLayout}-val`),
    target: path.join(root, 'cityscapes'),
    varied: path.join(root, `${sourceLayout}-varied`),
  };
}

/** What is written to street-synth.json. */
interface Manifest {
  version: string;
  seed: number;
  source: { width: number; height: number };
  target: { width: number; height: number };
  counts: {
    sourceTrain: number;
    sourceVal: number;
    targetTrain: number;
    targetVal: number;
    targetTest: number;
    /** Left out for 0. */
    varied?: number;
  };
  /** Left out for GTA5's. */
  sourceLayout?: SourceLayout;
  /** SHA-256 of the entries above. */
  hash: string;
}

const MANIFEST = 'street-synth.json';
/** Scenes being encoded and written while the next is rendered, in this thread. */
const IN_FLIGHT = 8;

const PROGRAM = compiledProgram(import.meta.url, './render-worker.js');

/**
 * Renders a data set into `root`: GTA5's layout in `gta5`, `gta5-val` and `gta5-varied` (or SYNTHIA's), Cityscapes' in
 * `cityscapes`, and `street-synth.json` with what it was made from. Scenes that are there already are kept: a second call with the
 * same options does nothing, and one after an interruption finishes the work.
 * @returns how many scenes there are, and how many of them this call has written
 * @throws {RangeError} when a count, the seed or a size is no whole number in its range
 * @throws {DatasetError} when `root` holds something else, or a file cannot be written
 * @throws the signal's reason when it is aborted
 */
export async function writeStreetSynth(
  root: string,
  options: StreetSynthOptions,
): Promise<{ total: number; written: number }> {
  const manifest = makeManifest(options);
  await claim(root, manifest);
  const scenes = listScenes(root, manifest);
  for (const folder of new Set(
    scenes.flatMap(({ image, label }) => [path.dirname(image), path.dirname(label)]),
  )) {
    await mkdir(folder, { recursive: true });
  }
  if (manifest.sourceLayout === 'synthia') await nameSubset(root, manifest);
  const { threads = 0, signal, onProgress } = options;
  const pool = threads > 0 ? new ThreadPool<SceneTask, void>(PROGRAM, threads) : undefined;
  let written = 0;
  try {
    await forEachConcurrently(
      scenes,
      async (scene) => {
        if ((await exists(scene.image)) && (await exists(scene.label))) return;
        await (pool ? pool.run(scene) : writeScene(scene));
        written++;
      },
      { concurrency: threads > 0 ? 2 * threads : IN_FLIGHT, signal, ...(onProgress && { onProgress }) },
    );
  } finally {
    await pool?.dispose();
  }
  return { total: scenes.length, written };
}

function makeManifest(options: StreetSynthOptions): Manifest {
  const {
    seed,
    sourceTrain,
    sourceVal,
    targetTrain,
    targetVal,
    targetTest = 0,
    varied = 0,
    width = 256,
    height,
    sourceLayout,
  } = options;
  const counts = {
    sourceTrain,
    sourceVal,
    targetTrain,
    targetVal,
    targetTest,
    ...(varied !== 0 && { varied }),
  };
  for (const [key, value] of Object.entries({ seed, ...counts })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RangeError(`street-synth: ${key} must be a whole number of at least 0, not ${value}`);
    }
  }
  const source = { width, height: height ?? Math.round((width * 9) / 16) };
  const target = { width, height: height ?? Math.round(width / 2) };
  for (const [domain, size] of Object.entries({ source, target })) {
    for (const [key, value] of Object.entries(size)) {
      if (!Number.isSafeInteger(value) || value < 32) {
        throw new RangeError(
          `street-synth: ${key} of the ${domain} must be a whole number of at least 32, not ${value}`,
        );
      }
    }
  }
  const content = {
    version: STREET_SYNTH_VERSION,
    seed,
    source,
    target,
    counts,
    ...(sourceLayout === 'synthia' && { sourceLayout }),
  };
  return { ...content, hash: createHash('sha256').update(JSON.stringify(content)).digest('hex') };
}

/** Makes `root` this data set's, or checks that it is already. */
async function claim(root: string, manifest: Manifest): Promise<void> {
  await mkdir(root, { recursive: true });
  const file = path.join(root, MANIFEST);
  const entries = (await readdir(root)).filter(
    (name) => !name.startsWith('.') && !/^street-synth\.json\..*tmp$/.test(name),
  );
  if (entries.length === 0) {
    await put(file, `${JSON.stringify(manifest, null, 2)}\n`);
    return;
  }
  if (!entries.includes(MANIFEST)) {
    throw new DatasetError(
      `${root}: not empty and not made by street-synth (no ${MANIFEST}); give an empty or new folder`,
    );
  }
  let found: Partial<Manifest>;
  try {
    found = JSON.parse(await readFile(file, 'utf8')) as Partial<Manifest>;
  } catch (error) {
    throw new DatasetError(`${file}: not readable as JSON; remove the folder or give another one`, {
      cause: error,
    });
  }
  if (found.hash === manifest.hash) return;
  const keys = ['version', 'seed', 'source', 'target', 'counts', 'sourceLayout'] as const;
  const differing = keys
    .map((key) => ({ key, has: JSON.stringify(found[key]), wants: JSON.stringify(manifest[key]) }))
    .filter(({ has, wants }) => has !== wants)
    .map(({ key, has, wants }) => `${key} ${has} instead of ${wants}`);
  throw new DatasetError(
    `${root}: holds scenes made with other parameters (${differing.join(', ') || 'its hash was changed'}); give an empty or new folder`,
  );
}

/** Few scenes may not show an id that only this subset of SYNTHIA has. */
async function nameSubset(root: string, { counts }: Manifest): Promise<void> {
  const { source, sourceVal, varied } = streetSynthFolders(root, 'synthia');
  const text = 'Rendered by street-synth, with the label ids of SYNTHIA-RAND-CITYSCAPES.\n';
  if (counts.sourceTrain > 0) await put(path.join(source, 'README.txt'), text);
  if (counts.sourceVal > 0) await put(path.join(sourceVal, 'README.txt'), text);
  if (counts.varied) await put(path.join(varied, 'README.txt'), text);
}

/** Folders of images and labels, and the digits of a file's name. */
const SOURCE_FOLDERS: Readonly<Record<SourceLayout, readonly [string, string, number]>> = {
  gta5: ['images', 'labels', 5],
  synthia: ['RGB', path.join('GT', 'LABELS'), 7],
};

function listScenes(root: string, manifest: Manifest): SceneTask[] {
  const { seed, counts, sourceLayout: layout = 'gta5' } = manifest;
  const folders = streetSynthFolders(root, layout);
  const range = (count: number) => Array.from({ length: count }, (_, index) => index);
  const source = (folder: string, split: string, count: number, domain: 'source' | 'varied' = 'source') =>
    range(count).map((index): SceneTask => {
      const [images, labels, digits] = SOURCE_FOLDERS[layout];
      const name = `${String(index + (layout === 'gta5' ? 1 : 0)).padStart(digits, '0')}.png`;
      const request = { seed, domain, split, index, ...manifest.source } as const;
      return {
        request,
        layout,
        image: path.join(folder, images, name),
        label: path.join(folder, labels, name),
      };
    });
  const target = (split: string, count: number) =>
    range(count).map((index): SceneTask => {
      const stem = `synth_${String(index).padStart(6, '0')}_000019`;
      const image = path.join(folders.target, 'leftImg8bit', split, 'synth', `${stem}_leftImg8bit.png`);
      const label = path.join(folders.target, 'gtFine', split, 'synth', `${stem}_gtFine_labelIds.png`);
      const request = { seed, domain: 'target', split, index, ...manifest.target } as const;
      return { request, layout: 'cityscapes', image, label };
    });
  return [
    ...source(folders.source, 'train', counts.sourceTrain),
    ...source(folders.sourceVal, 'val', counts.sourceVal),
    ...target('train', counts.targetTrain),
    ...target('val', counts.targetVal),
    ...target('test', counts.targetTest),
    ...source(folders.varied, 'train', counts.varied ?? 0, 'varied'),
  ];
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
