// Weights known by name: where they are published, how a pulled file is called, and what their licence says.
// Without libtorch, so that the command line can check a name before anything is loaded.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { spelling } from '../../config/segmentor.js';

/** A licence in one line, and where it can be read. */
export interface Licence {
  readonly text: string;
  readonly url: string;
}

/** Weights that can be pulled. */
export interface CatalogEntry {
  /** As `pgpc weights pull` takes it. */
  readonly name: string;
  /** Shorter names of the same. */
  readonly aliases: readonly string[];
  /** Origin of the server. */
  readonly hub: string;
  /** Paths on the hub in the order in which they are tried, and the name that the file gets here. */
  readonly sources: readonly { readonly path: string; readonly file: string }[];
  readonly licence: Licence;
  /** Path on the hub of the configuration that names the classes; undefined for encoders of ImageNet. */
  readonly config?: string;
}

const HUGGING_FACE = 'https://huggingface.co';
const OPEN_MMLAB = 'https://download.openmmlab.com';

/** Section 3.3 of the licence: "may be used or intended for use non-commercially", for research or evaluation. */
export const SEGFORMER_LICENCE: Licence = {
  text: 'NVIDIA Source Code License for SegFormer: non-commercial use only (research or evaluation)',
  url: 'https://github.com/NVlabs/SegFormer/blob/master/LICENSE',
};

/** torchvision's and open-mmlab's files come without a licence of their own. */
export const RESNET_LICENCE: Licence = {
  text: 'unknown: the files come without a licence of their own (trained on ImageNet); check with the publisher',
  url: 'https://github.com/open-mmlab/mmcv',
};

const HRNET_LICENCE: Licence = {
  text: 'unknown: the authors license their code (MIT), the files say nothing (trained on ImageNet); check with them',
  url: 'https://github.com/HRNet/HRNet-Image-Classification',
};

export const DINOV2_LICENCE: Licence = {
  text: 'Apache License 2.0',
  url: 'https://github.com/facebookresearch/dinov2/blob/main/LICENSE',
};

/** Section 1 of the licence. */
export const DINOV3_LICENCE: Licence = {
  text: "Meta's DINOv3 License: who passes the weights or derived ones on does so under it, with a copy; publications acknowledge DINOv3; no military, nuclear, espionage or weapons use",
  url: 'https://github.com/facebookresearch/dinov3/blob/main/LICENSE.md',
};

function huggingFaceSources(repository: string): CatalogEntry['sources'] {
  const stem = repository.replace('/', '-');
  // Some of these repositories have safetensors on their main branch, some in several files, some only the older file.
  return [
    { path: `${repository}/resolve/main/model.safetensors`, file: `${stem}.safetensors` },
    {
      path: `${repository}/resolve/main/model.safetensors.index.json`,
      file: `${stem}/model.safetensors.index.json`,
    },
    { path: `${repository}/resolve/main/pytorch_model.bin`, file: `${stem}.bin` },
  ];
}

function nvidiaMit(size: number): CatalogEntry {
  const name = `nvidia/mit-b${size}`;
  return {
    name,
    aliases: [`mit_b${size}`],
    hub: HUGGING_FACE,
    sources: huggingFaceSources(name),
    licence: SEGFORMER_LICENCE,
  };
}

/** @param size small, base, large or giant. */
function dinov2(size: string, registers: boolean): CatalogEntry {
  const name = `facebook/dinov2-${registers ? 'with-registers-' : ''}${size}`;
  return {
    name,
    aliases: [`dinov2_vit${size[0]}14${registers ? '_reg' : ''}`],
    hub: HUGGING_FACE,
    sources: huggingFaceSources(name),
    licence: DINOV2_LICENCE,
  };
}

function openMmlab(name: string, aliases: readonly string[], path: string, licence: Licence): CatalogEntry {
  return {
    name: `open-mmlab/${name}`,
    aliases,
    hub: OPEN_MMLAB,
    sources: [{ path, file: path.split('/').at(-1)! }],
    licence,
  };
}

/** All weights known by name. open-mmlab's file names end in the first 8 digits of the file's SHA-256. */
export const catalog: readonly CatalogEntry[] = [
  ...[0, 1, 2, 3, 4, 5].map(nvidiaMit),
  ...['mit_b0_20220624-7e0fe6dd', 'mit_b1_20220624-02e5a6a1', 'mit_b2_20220624-66e8bf70']
    .concat('mit_b3_20220624-13b1141c', 'mit_b4_20220624-d588d980', 'mit_b5_20220624-658746d9')
    .map((stem) =>
      openMmlab(
        stem.slice(0, 6),
        [],
        `mmsegmentation/v0.5/pretrain/segformer/${stem}.pth`,
        SEGFORMER_LICENCE,
      ),
    ),
  openMmlab(
    'resnet101_v1c',
    ['resnet101'],
    'pretrain/third_party/resnet101_v1c-e67eebb6.pth',
    RESNET_LICENCE,
  ),
  ...[false, true].flatMap((registers) =>
    ['small', 'base', 'large', 'giant'].map((size) => dinov2(size, registers)),
  ),
  openMmlab('hrnetv2_w48', ['hrnet_w48'], 'pretrain/third_party/hrnetv2_w48-d2186c55.pth', HRNET_LICENCE),
];

/** A file name as a publisher or the catalog gives it, and its known licence. */
const KNOWN_FILES: readonly (readonly [RegExp, Licence])[] = [
  [/^(nvidia-)?(mit|segformer)[-_.]b[0-5](?!\d)/, SEGFORMER_LICENCE],
  [/^resnet101(_v1c)?-[0-9a-f]{8}\.pth$/, RESNET_LICENCE],
  [/^hrnetv2_w48/, HRNET_LICENCE],
  [/^(facebook-dinov2-|dinov2_vit[sblg]14_)/, DINOV2_LICENCE],
  [/^(facebook-dinov3-|dinov3_(vit|convnext))/, DINOV3_LICENCE],
];

/** Beginnings of a repository's name on the hub, and the licence of all of these. */
const OWNED: readonly (readonly [string, Licence])[] = [
  ['nvidia/segformer-', SEGFORMER_LICENCE],
  ['facebook/dinov2-', DINOV2_LICENCE],
  ['facebook/dinov3-', DINOV3_LICENCE],
];

/** The licence of a file by its name, such as `mit_b5.pth`; undefined for names that nobody publishes. */
export function licenceOfFile(file: string): Licence | undefined {
  return KNOWN_FILES.find(([pattern]) => pattern.test(file))?.[1];
}

/** Names and short names, for messages and `--help`. */
export function catalogNames(): string[] {
  return catalog.flatMap(({ name, aliases }) => [name, ...aliases]);
}

/**
 * The entry of a name: one of the catalog, in any spelling, or `owner/repository` for any repository on the HuggingFace hub.
 * @returns undefined for other names
 */
export function findCatalogEntry(name: string): CatalogEntry | undefined {
  const known = catalog.find((entry) =>
    [entry.name, ...entry.aliases].some((one) => spelling(one) === spelling(name)),
  );
  if (known) return known;
  if (!/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name) || name.startsWith('open-mmlab/')) return undefined;
  return {
    name,
    aliases: [],
    hub: HUGGING_FACE,
    sources: huggingFaceSources(name),
    config: `${name}/resolve/main/config.json`,
    licence: OWNED.find(([start]) => name.startsWith(start))?.[1] ?? {
      text: 'unknown: check with its publisher',
      url: `${HUGGING_FACE}/${name}`,
    },
  };
}

/** The folder of pulled weights: PGPC_WEIGHTS, or `weights` in the working directory. */
export function weightsFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env.PGPC_WEIGHTS || 'weights';
}

/** The pulled file of a name, if it is in the folder. */
export function findPulledFile(name: string, folder = weightsFolder()): string | undefined {
  return findCatalogEntry(name)
    ?.sources.map(({ file }) => join(folder, file))
    .find((path) => existsSync(path));
}
