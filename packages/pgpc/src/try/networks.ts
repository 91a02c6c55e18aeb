// What `pgpc try` shows: the networks as ONNX files, exported once for each state of a model, and pictures of their run.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ClassInfo, imageSize, type Size, scaledSize } from '@pgpc/datasets';
import { indexWeights } from '@pgpc/torch';
import { z } from 'zod';
import { scaleSchema } from '../config/data.js';
import { asTrained } from '../evaluation/as-trained.js';
import { fingerprint } from '../evaluation/predict-journal.js';
import { type ExportedOnnx, exportOnnx, ONNX_FILE } from '../export/export-onnx.js';
import { ChangingSizeError } from '../export/sizes.js';
import { packageVersion } from '../machine.js';
import { namedClasses, readAbout } from '../models/about.js';
import { locateModel } from '../models/locate.js';
import { MODEL_FILE } from '../models/model-file.js';
import { readHuggingFaceFiles, readPreprocessor } from '../models/weights/huggingface-files.js';
import { openRun } from '../training/run-directory/open-run.js';

/** One network on disk. */
interface OnnxNetwork {
  readonly label: string;
  /** Its ONNX file. */
  readonly file: string;
  readonly classes: readonly ClassInfo[];
  readonly inputSize: Size | 'full';
  /** Windows by which images enter a network that is for one; undefined: images enter whole. */
  readonly windows: Windows | undefined;
  /** Whether its input must be normalised. */
  readonly normalised: boolean;
  readonly said: readonly string[];
}

type Windows = NonNullable<ExportedOnnx['windows']>;

/** All that is shown. */
export interface Tried {
  readonly title: string;
  /** The network; after it, where there is one, the source network that it was adapted from. */
  readonly networks: readonly [OnnxNetwork, OnnxNetwork?];
  readonly examples: readonly { readonly name: string; readonly file: string }[];
  /** What a person should know beyond what the networks say. */
  readonly said: readonly string[];
  /** Removes what was written outside of the run. */
  dispose(): void;
}

export interface TryOptions {
  /** Run directory, checkpoint folder, model file, or a folder that `pgpc export onnx` wrote. */
  readonly model: string;
  /** Of a run directory its best checkpoint, not its last. */
  readonly best?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told what begins. */
  readonly onStage?: ((stage: string) => void) | undefined;
}

/** Folder of a run that the exported files are kept in. */
const KEPT = 'try';

/** Beside an exported file: what it was made of. */
const MADE_OF = 'made-of.json';

/** Pictures that are offered. */
const MOST_EXAMPLES = 6;

/** The checkpoint that methods start from, of one seed or of several. */
const SOURCE = /^source(-seed\d+)?$/;

/**
 * Exports what is to be tried, unless an earlier call did so from the same files.
 * @throws Error for a path that is no model, a network that cannot be exported, and a folder of an ONNX file that pgpc did
 *   not describe; the signal's reason once it is aborted
 */
export async function findNetworks(options: TryOptions): Promise<Tried> {
  const { model, best } = options;
  if (existsSync(path.join(model, ONNX_FILE))) {
    const network = readNetwork(model, path.basename(path.resolve(model)));
    return { title: network.label, networks: [network], examples: [], said: [], dispose: () => {} };
  }
  const file = locateModel(model, { best });
  const run = runOf(file);
  const kept = keepingFolder(run);
  try {
    const sourceFile = sourceBeside(file);
    const made = async (of: string) => {
      options.signal?.throwIfAborted();
      return await exported(of, path.join(kept.folder, nameOf(of)), run, options);
    };
    const network = await made(file);
    const source = sourceFile === undefined ? undefined : await made(sourceFile);
    const fits = source !== undefined && seesTheSame(network, source);
    return {
      title: run === undefined ? nameOf(file) : titleOf(run),
      networks: fits ? [network, source] : [network],
      examples: run === undefined ? [] : examplesOf(run),
      said:
        source !== undefined && !fits
          ? [`${sourceFile}: its classes are others, so it is not shown beside the network`]
          : [],
      dispose: kept.dispose,
    };
  } catch (error) {
    kept.dispose();
    throw error;
  }
}

/** The run directory that a model lies in, as RUN/checkpoints/NAME/model.safetensors. */
function runOf(file: string): string | undefined {
  const run = path.resolve(file, '../../..');
  const isOfRun = path.basename(path.dirname(path.dirname(path.resolve(file)))) === 'checkpoints';
  return isOfRun && existsSync(path.join(run, 'run.json')) ? run : undefined;
}

/** The network that a run's methods start from; undefined where the file is of no such run, or is that network. */
function sourceBeside(file: string): string | undefined {
  if (runOf(file) === undefined) return undefined;
  const name = nameOf(file);
  if (SOURCE.test(name)) return undefined;
  const seed = /-seed\d+$/.exec(name)?.[0] ?? '';
  const source = path.join(path.dirname(path.dirname(path.resolve(file))), `source${seed}`, MODEL_FILE);
  return existsSync(source) ? source : undefined;
}

/** Of a checkpoint its folder's name, of another file its own. */
function nameOf(file: string): string {
  return path.basename(file) === MODEL_FILE
    ? path.basename(path.dirname(path.resolve(file)))
    : path.parse(file).name;
}

function titleOf(run: string): string {
  const { info } = openRun(run);
  return info.title || info.name;
}

/** Where exported files are kept: in the run, or where that cannot be written to in a folder that is removed at the end. */
function keepingFolder(run: string | undefined): { folder: string; dispose: () => void } {
  if (run !== undefined) {
    const folder = path.join(run, KEPT);
    try {
      mkdirSync(folder, { recursive: true });
      rmSync(mkdtempSync(path.join(folder, '.writable-')), { recursive: true });
      return { folder, dispose: () => {} };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
    }
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'pgpc-try-'));
  return { folder, dispose: () => rmSync(folder, { recursive: true, force: true }) };
}

const madeOfSchema = z.object({
  model: z.string(),
  pgpc: z.string(),
  /** Of a network that sees by windows: the file is for one. */
  windows: z.object({ window: scaleSchema, stride: scaleSchema }).optional(),
  /** Of a network that is exported for one size alone: images are brought to it. */
  onlySize: scaleSchema.optional(),
});

type MadeOf = z.infer<typeof madeOfSchema>;

/** Exports a model to a folder, unless what is there was made of the same file. */
async function exported(
  file: string,
  folder: string,
  run: string | undefined,
  { onStage, signal }: Pick<TryOptions, 'onStage' | 'signal'>,
): Promise<OnnxNetwork> {
  const wanted = { model: await fingerprint(file), pgpc: packageVersion() };
  let madeOf = madeOfIn(folder, wanted);
  if (madeOf === undefined) {
    rmSync(folder, { recursive: true, force: true });
    onStage?.(`exporting ${file}`);
    const to = { checkpoint: file, out: folder, check: false, signal };
    try {
      const { windows } = await exportOnnx({ ...to, oneWindow: true });
      madeOf = { ...wanted, ...(windows && { windows }) };
    } catch (error) {
      if (!(error instanceof ChangingSizeError)) throw error;
      const onlySize = await usualSize(file, run);
      if (onlySize === undefined) {
        throw new Error(
          `${file}: ${error.message}; \`pgpc export onnx ${file} --size WIDTHxHEIGHT --out FOLDER\` writes one for the size of ` +
            'your pictures, and `pgpc try FOLDER` takes it',
          { cause: error },
        );
      }
      await exportOnnx({ ...to, size: onlySize });
      madeOf = { ...wanted, onlySize };
    }
    writeFileSync(path.join(folder, MADE_OF), `${JSON.stringify(madeOf)}\n`);
  }
  return readNetwork(folder, nameOf(file), madeOf);
}

/** The size at which the run's target pictures enter a network; undefined where neither they nor the model say. */
async function usualSize(file: string, run: string | undefined): Promise<Size | undefined> {
  const { metadata } = indexWeights(file);
  const bounds = readAbout(file, metadata).about?.inputSize;
  const [picture] = run === undefined ? [] : examplesOf(run);
  if (picture === undefined) return typeof bounds === 'object' ? bounds : undefined;
  const image = await imageSize(picture.file);
  return typeof bounds === 'object' ? scaledSize(image, bounds) : image;
}

/** What the file in a folder was made of; undefined where there is none, or it was made of something else. */
function madeOfIn(folder: string, wanted: Pick<MadeOf, 'model' | 'pgpc'>): MadeOf | undefined {
  const file = path.join(folder, MADE_OF);
  if (!existsSync(file) || !existsSync(path.join(folder, ONNX_FILE))) return undefined;
  try {
    const madeOf = madeOfSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    return madeOf.model === wanted.model && madeOf.pgpc === wanted.pgpc ? madeOf : undefined;
  } catch {
    // Cut off or changed: it is made anew.
    return undefined;
  }
}

/** @throws Error for a folder that `pgpc export onnx` did not write */
function readNetwork(folder: string, label: string, madeOf?: MadeOf): OnnxNetwork {
  const file = path.join(folder, ONNX_FILE);
  const { names, own, file: config = file } = readHuggingFaceFiles(file) ?? {};
  const preprocessor = readPreprocessor(folder);
  if (names === undefined || own === undefined || preprocessor === undefined) {
    throw new Error(
      `${folder}: its config.json and preprocessor_config.json do not say what pgpc writes there, so how images enter is not ` +
        'known; `pgpc export onnx` writes a folder that can be tried',
    );
  }
  const { classInfo = namedClasses(names), about } = readAbout(config, own);
  const { said } = asTrained({ config: { classes: names.length }, classInfo, about });
  const inputSize = about?.inputSize ?? 'full';
  const deep = about?.range
    ? ['it was trained on images of more than 8 bits, which a browser cannot give it']
    : [];
  const { windows, onlySize } = madeOf ?? {};
  const stretched = onlySize
    ? [`pictures of any ratio are brought to ${onlySize.width}x${onlySize.height}, which the file is for`]
    : [];
  return {
    label,
    file,
    classes: classInfo,
    inputSize,
    windows,
    normalised: preprocessor.normalises,
    said: [...said, ...deep, ...stretched],
  };
}

function seesTheSame(one: OnnxNetwork, other: OnnxNetwork): boolean {
  return (
    one.classes.length === other.classes.length &&
    one.classes.every(({ name }, i) => name === other.classes[i]!.name) &&
    JSON.stringify([one.inputSize, one.windows]) === JSON.stringify([other.inputSize, other.windows])
  );
}

/** Target pictures of a run; none that a link leads to from outside of it. */
function examplesOf(run: string): Tried['examples'] {
  const folder = path.join(run, 'pictures');
  const target = openRun(run).pictures?.target ?? [];
  return target
    .map(({ id, image }) => ({ name: id, file: path.join(folder, image) }))
    .filter(({ file }) => existsSync(file) && path.dirname(realpathSync(file)) === realpathSync(folder))
    .slice(0, MOST_EXAMPLES);
}
