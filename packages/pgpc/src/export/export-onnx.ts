// `pgpc export onnx` as a library: a saved network as a folder with a checked ONNX file and what describes it.

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Size } from '@pgpc/datasets';
import { sizeFault } from '../config/segmentor.js';
import { UsageError } from '../config/usage-error.js';
import { aboutTexts } from '../models/about.js';
import { loadModel } from '../models/checkpoint.js';
import type { Segmentor } from '../models/segmentor.js';
import {
  classNames,
  ownFacts,
  preprocessor,
  segformerConfig,
  writeConfigs,
} from '../models/weights/huggingface-files.js';
import { asItSees } from './by-windows.js';
import { checkImages } from './check-images.js';
import { type OnnxFile, toOnnx } from './onnx.js';
import { checkOnnx, type OnnxCheck, rejection } from './runtime-check.js';
import type { WeightFormat } from './weight-formats.js';

export interface ExportOnnxOptions {
  /** Model file, a checkpoint folder with one, or a run directory. */
  checkpoint: string;
  /** Of a run directory its best checkpoint, not its last. */
  best?: boolean | undefined;
  /** Folder to write. */
  out: string;
  /**
   * The one size that the file is for, of one image; left out: any. An image larger than the windows that a network of two
   * resolutions sees enters by these, and the logits have its size.
   */
  size?: Size | undefined;
  /**
   * Whether the file of a network of two resolutions is for one of its windows, where `size` is left out: whoever runs it
   * goes over the image and averages. Other networks are exported as they are without.
   */
  oneWindow?: boolean | undefined;
  /** How the weights of convolutions and linear layers are stored: 'float32' by default. */
  weights?: WeightFormat | undefined;
  /** Whether the graph normalises its input itself, which is then RGB in 0 .. 255. */
  foldPreprocessing?: boolean | undefined;
  /** Folder with images to compare on; left out: the target's of the run, or random ones. */
  images?: string | undefined;
  /** Whether the file is compared with the network in ONNX Runtime; true by default. */
  check?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Told what begins. */
  onStage?: ((stage: string) => void) | undefined;
}

export interface ExportedOnnx {
  /** Path of `model.onnx`. */
  readonly file: string;
  readonly model: Omit<OnnxFile, 'bytes'>;
  readonly bytes: number;
  readonly config: Segmentor['config'];
  /** With `oneWindow`: the windows that images enter by. */
  readonly windows: Segmentor['ownWindows'];
  /** Undefined where it was not checked. */
  readonly checked: { readonly result: OnnxCheck; readonly images: string } | undefined;
}

/** The graph's file in an exported folder. */
export const ONNX_FILE = 'model.onnx';

/**
 * Writes `model.onnx`, `config.json` and `preprocessor_config.json`. The file has its name only once it has passed the check.
 * @throws UsageError for a size that the network does not take; Error for a file that is no model, a network with an operator that is not mapped, ONNX Runtime that is not
 *   installed, and a file that differs too much from its network, which is removed; DatasetError for images that cannot be
 *   read; the signal's reason once it is aborted
 */
export async function exportOnnx(options: ExportOnnxOptions): Promise<ExportedOnnx> {
  const { checkpoint, best, out, weights = 'float32', foldPreprocessing = false, onStage } = options;
  using segmentor = loadModel(checkpoint, { best }).to({ device: 'cpu' });
  segmentor.eval();
  const windows = options.oneWindow && !options.size ? segmentor.ownWindows : undefined;
  const size = options.size ?? windows?.window;
  const fault = size && sizeFault(segmentor.config, size);
  if (fault !== undefined) throw new UsageError(`--size: ${fault}`);
  onStage?.('tracing the network');
  const network = asItSees(segmentor, size);
  const { bytes, ...model } = toOnnx(network, {
    size: size && { batch: 1, ...size },
    weights,
    foldPreprocessing,
    metadata: aboutTexts(segmentor),
  });
  mkdirSync(out, { recursive: true });
  const file = join(out, ONNX_FILE);
  const unchecked = join(out, `unchecked-${ONNX_FILE}`);
  writeFileSync(unchecked, bytes);
  let checked: ExportedOnnx['checked'];
  try {
    if (options.check !== false) {
      const { batches, said } = await checkImages(checkpoint, segmentor.about, {
        ...options,
        size,
        network: segmentor.config,
      });
      onStage?.(`comparing on ${said}`);
      const { signal } = options;
      const result = await checkOnnx(unchecked, network, batches, { foldPreprocessing, signal });
      const fault = rejection(weights, result);
      if (fault !== undefined) {
        throw new Error(
          `${file}: rejected and not written: on ${said} ${fault} (${weights}, ${result.runtime})`,
        );
      }
      checked = { result, images: said };
    }
    renameSync(unchecked, file);
  } catch (error) {
    rmSync(unchecked, { force: true });
    throw error;
  }
  const preprocessing = preprocessor(segmentor.about, { size, inNetwork: foldPreprocessing });
  writeConfigs(out, describe(segmentor), preprocessing);
  return { file, model, bytes: bytes.length, config: segmentor.config, windows, checked };
}

/** Of SegFormer as HuggingFace's libraries have it; other networks have a type of our own, which they do not know. */
function describe(segmentor: Segmentor): Record<string, unknown> {
  const { config } = segmentor;
  if (config.head === 'segformer') return segformerConfig(segmentor);
  const names = classNames(segmentor);
  return {
    architectures: ['PgpcSegmentor'],
    model_type: 'pgpc-segmentor',
    backbone: config.backbone,
    decode_head: config.head,
    num_channels: 3,
    id2label: Object.fromEntries(names.map((name, id) => [id, name])),
    label2id: Object.fromEntries(names.map((name, id) => [name, id])),
    ...ownFacts(segmentor),
  };
}
