// `pgpc weights`: looking into weights files, converting and fetching them.
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { didYouMean } from '../../config/did-you-mean.js';
import { UsageError } from '../../config/usage-error.js';
import { catalog, findCatalogEntry, weightsFolder } from '../../models/weights/catalog.js';
import { shippedEncoder } from '../../models/weights/shipped.js';
import { bestOption } from '../checkpoint-options.js';
import { type Action, examples, type JsonChoice, jsonOption, option, type Register } from '../command.js';
import type { CommandIo } from '../io.js';
import { type Tell, telling, withJson } from '../output/json.js';
import { checkedBy, existingFile, existingPath, oneOf, outputFolder } from '../values.js';
import type { ConvertWeightsOptions, InspectWeightsOptions } from '../weights.js';
import type { PullWeightsOptions } from '../weights-pull.js';

/** Forms that are written. */
const WEIGHT_TARGETS = ['pgpc', 'hf', 'daformer'] as const;

const networkOption = () =>
  option(
    '--network <which>',
    'of a file with several: student, teacher, or the prefix of another, such as state_dict_ema',
    z.string().min(1),
  );
const KNOWN = catalog.map(({ name, aliases }) => [name, ...aliases].join(' or ')).join(', ');

const weightsName = z.string().transform((text, context) => {
  if (findCatalogEntry(text)) return text;
  const names = catalog.map(({ name }) => name);
  context.addIssue(
    `must be owner/repository of the HuggingFace hub or one of ${KNOWN}${didYouMean(text, names)}`,
  );
  return z.NEVER;
});

/** A path, or this package's own encoder by its name. */
const weightsFile = z
  .string()
  .transform((text) => (text === shippedEncoder.name ? shippedEncoder.file : text))
  .pipe(existingPath);

const sha256 = z.string().regex(/^[0-9a-f]{64}$/i, { error: 'must be 64 hexadecimal digits' });

const classFile = z.string().transform((text, context) => {
  if (text === 'cityscapes') return text;
  const parsed = existingFile.safeParse(text);
  if (parsed.success) return parsed.data;
  context.addIssue(parsed.error.issues[0]!.message);
  return z.NEVER;
});

const hub = z
  .url({ protocol: /^https?$/, error: 'must be an address such as https://hub.example.org' })
  .transform((text) => text.replace(/\/+$/, ''));

export const registerWeights: Register = (parent, act) => {
  const weights = parent
    .command('weights')
    .summary('inspect, convert and fetch weights files')
    .description('Inspect, convert and fetch weights files. No code in a file is ever run.');

  weights
    .command('inspect')
    .summary('say what a weights file holds')
    .description(
      'Say what a weights file (safetensors, .pth, a folder of HuggingFace) holds: its tensors, whose names they have, which network they ' +
        'fit and under which licence they are, as far as the file tells.',
    )
    .argument(
      '<file>',
      'weights file, index of shards, folder with one, run directory, or street-synth (the encoder that comes with pgpc)',
      checkedBy(weightsFile),
    )
    .addOption(networkOption())
    .addOption(bestOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc weights inspect mit_b5.pth',
        'pgpc weights inspect street-synth',
        'pgpc weights inspect hub/segformer --network teacher',
      ),
    )
    .action(async (file: string, { network, best, json }) => {
      await act('inspectWeights', inspect, { file, network, best, json });
    });

  weights
    .command('convert')
    .summary('write a weights file in another form')
    .description(
      "Write a weights file in another form. 'pgpc': safetensors under this project's names; of a whole network a " +
        "model that pgpc eval takes. 'hf': a folder with model.safetensors, config.json (with the names of the classes) and " +
        "preprocessor_config.json as HuggingFace's transformers load them, for MiT encoders and SegFormer networks. 'daformer': a " +
        ".pth that PyTorch's DAFormer code loads, for MiT and ResNet networks; an encoder as its 'pretrained' takes one.",
    )
    .argument(
      '<file>',
      'weights file of any known form, index of shards, folder with one, run directory, or street-synth',
      checkedBy(weightsFile),
    )
    .addOption(
      option('--to <form>', `form to write: ${WEIGHT_TARGETS.join(', ')}`, oneOf(WEIGHT_TARGETS), 'pgpc'),
    )
    .requiredOption('--out <path>', 'file to write, - for standard output (of hf: folder); required')
    .addOption(networkOption())
    .addOption(bestOption())
    .option('--encoder', 'the encoder alone', false)
    .option('--allow-partial', 'convert what fits instead of refusing the file', false)
    .addOption(
      option(
        '--classes <file>',
        "class file with the network's classes, or cityscapes (default: as the weights file says)",
        classFile,
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc weights convert latest.pth --network student --out daformer.safetensors',
        'pgpc weights convert runs/mine --best --to hf --out hub/mine',
        'pgpc weights convert runs/mine --to daformer --out mine.pth',
      ),
    )
    .action(async (file: string, { to, out, network, best, encoder, allowPartial, classes, json }) => {
      if (out === '-' && json === '-') {
        throw new UsageError('--out - and --json -: standard output takes one of them');
      }
      if (out === '-' && to === 'hf') {
        throw new UsageError('--out -: hf is a folder of files, which standard output cannot take');
      }
      const chosen = { file, to, out, network, best, encoder, allowPartial, classes, json };
      await act('convertWeights', convert, chosen);
    });

  weights
    .command('pull')
    .summary('fetch weights by name')
    .description(
      `Fetch weights by name into the folder of weights, where --weights finds them: ${KNOWN}; or owner/repository ` +
        'of the HuggingFace hub. An interrupted download resumes where it stopped; the SHA-256 is checked where one is known.',
    )
    .argument('<name>', 'name of the weights', checkedBy(weightsName))
    .addOption(option('--hub <address>', "server in place of the publisher's own (a mirror)", hub))
    .addOption(
      option(
        '--out <folder>',
        'folder of weights (default: PGPC_WEIGHTS in the environment, or weights)',
        outputFolder,
      ),
    )
    .addOption(option('--sha256 <digits>', 'SHA-256 that the file must have', sha256))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc weights pull mit_b5',
        'pgpc train --weights mit_b5 --source-root data/simulator --target-root data/camera',
      ),
    )
    .action(async (name: string, { hub, out, sha256, json }) => {
      await act('pullWeights', pull, { name, hub, out: out ?? weightsFolder(), sha256, json });
    });
};

const inspect = telling(async (options: InspectWeightsOptions, io, tell) => {
  const { inspectWeights } = await import('../weights.js');
  await inspectWeights(options, io, tell);
});

const convert: Action<ConvertWeightsOptions & JsonChoice> = async ({ json, ...options }, own) => {
  const { convertWeights } = await import('../weights.js');
  const { out } = options;
  await withJson(
    json,
    own,
    (io, tell) => (out === '-' ? convertTo(own, options, tell) : convertWeights(options, io, tell)),
    out,
  );
};

/** Writes to standard output what the command would write to a file. */
async function convertTo(io: CommandIo, options: ConvertWeightsOptions, tell: Tell): Promise<void> {
  const { convertWeights } = await import('../weights.js');
  const folder = await mkdtemp(join(tmpdir(), 'pgpc-convert-'));
  const out = join(folder, 'weights.safetensors');
  try {
    const { stderr } = io;
    const stdout = new Writable({
      write: (text, _, done) => {
        stderr.write(String(text).replaceAll(out, 'standard output'));
        done();
      },
    });
    await convertWeights({ ...options, out }, { ...io, stdout }, (told) =>
      tell({ ...told, out: options.out }),
    );
    await pipeline(createReadStream(out), io.stdout, { end: false });
  } finally {
    await rm(folder, { recursive: true });
  }
}

const pull = telling(async (options: PullWeightsOptions, io, tell) => {
  const { pullWeights } = await import('../weights-pull.js');
  await pullWeights(options, io, tell);
});
