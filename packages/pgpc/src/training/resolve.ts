// From the few things that a person chooses to the whole description of a training.

import { resolve } from 'node:path';
import {
  type ClassInfo,
  type DatasetFormat,
  detectFormat,
  isCityscapes,
  openDataset,
  parsedBy,
} from '@pgpc/datasets';
import { z } from 'zod';
import { pgpcContrast } from '../config/contrast.js';
import type { DataConfig } from '../config/data.js';
import { chosenDenoising } from '../config/denoise.js';
import { adapters } from '../config/encoder-training.js';
import type { Experiment } from '../config/experiment.js';
import { daformerFeatureDistance } from '../config/feature-distance.js';
import { weightings } from '../config/loss-weights.js';
import { chosenMasking } from '../config/masked-consistency.js';
import { methodConfig } from '../config/method.js';
import { chosenResolutions } from '../config/multi-resolution.js';
import { chosenPrecision } from '../config/precision.js';
import { isDino, networks, segmentorConfig } from '../config/segmentor.js';
import { withSettings } from '../config/settings.js';
import { chosenStyle } from '../config/style.js';
import { parseTraining, type TrainingConfig } from '../config/training.js';
import { UsageError } from '../config/usage-error.js';
import { chosenDevice } from '../machine.js';
import { locateModel } from '../models/locate.js';
import { isStartName, RANDOM_START } from '../models/weights/shipped.js';
import { daformerRecipe } from '../recipes/daformer.js';
import { drivingData, drivingExperiment } from '../recipes/driving.js';
import { choiceSchema, type ResolvedChoice, refuseContradictions, type TrainingChoice } from './choice.js';
import { resolveClasses, toRunClasses } from './class-mapping.js';
import { sourceError } from './data-findings.js';
import { describeNetworkFile, refuseOtherNetwork, refuseTrainedNetwork } from './init.js';
import { loadPlugins } from './plugins.js';
import { startFromWeights } from './start.js';

/**
 * Fills in what is not chosen, as `pgpc train` does: formats are told from the folders, classes are the source's, the
 * precision is the device's, the network that of `init`, and an encoder of MiT-B0 starts from the one that comes with this
 * package. A file of `weights` is of ImageNet's features to stay near to; without one there is no feature distance.
 * @throws UsageError for what does not go together; DatasetError for a source that cannot be opened; Error for a setting
 *   that no experiment has, or that does not fit.
 */
export async function resolveTraining(given: TrainingChoice): Promise<TrainingConfig> {
  const parsed = parsedBy(choiceSchema, given);
  if (!parsed.success) throw new UsageError(`the choice is not valid\n${z.prettifyError(parsed.error)}`);
  const choice = parsed.data;
  const { set, skipBad, workers, select, checkpointEvery, method } = choice;
  const plugins = choice.plugins.map((file) => resolve(file));
  await loadPlugins(plugins);
  refuseContradictions(choice);
  const device = chosenDevice(choice.device);
  const init = choice.init === undefined ? undefined : resolve(locateModel(choice.init));
  const network = init === undefined ? undefined : describeNetworkFile(init);
  const { data, classes } = await resolveData(choice);
  if (choice.preset && data.classes && !isCityscapes(classes)) {
    throw new UsageError(
      `--classes: the preset ${choice.preset} has the 19 classes of Cityscapes, which these are not; leave --preset out`,
    );
  }
  const chosen = experimentOf(choice, classes, device);
  if (network && choice.network !== undefined) {
    refuseOtherNetwork(init!, network, chosen.segmentor, classes);
  }
  const segmentor = network ? { ...network.config, classes: classes.length } : chosen.segmentor;
  const experiment = withSettings(withEncoderTraining({ ...chosen, segmentor }, choice), set);
  if (network) refuseOtherNetwork(init!, network, experiment.segmentor, classes);
  const start = init === undefined ? startOf(choice, experiment) : { init };
  if (start?.weights !== undefined && experiment.method.featureDistance) refuseTrainedNetwork(start.weights);
  return parseTraining({
    data,
    reading: { skipBad, workers },
    ...(start && { start }),
    phase: method,
    experiment,
    select,
    checkpointEvery,
    ...(plugins.length > 0 && { plugins }),
  });
}

/**
 * The data of a choice, with formats and mapping filled in, and the classes of the run.
 * @throws DatasetError for a source that cannot be opened, or a mapping that does not fit.
 */
export async function resolveData(
  choice: Pick<ResolvedChoice, 'preset' | 'source' | 'target' | 'classes'> &
    Partial<Pick<ResolvedChoice, 'multiResolution'>>,
): Promise<{ data: DataConfig; classes: readonly ClassInfo[] }> {
  const own = await dataOf(choice);
  // Files that are bad are told of when all are read.
  const { format, root } = own.source;
  const opening = { format, root, labels: 'required', onFault: () => {} } as const;
  const source = await openDataset(opening).catch(async (error) => {
    throw await sourceError(error, own);
  });
  const mapping = await resolveClasses(choice.classes, source, own.target);
  const data = mapping ? { ...own, classes: mapping } : own;
  return { data, classes: toRunClasses(source, mapping).dataset.classes };
}

/** An experiment of the paper starts from what it is told, and from nothing else. */
function startOf(
  { preset, weights = preset && RANDOM_START, allowPartial }: ResolvedChoice,
  { segmentor }: Experiment,
): TrainingConfig['start'] {
  return startFromWeights(weights, segmentor.backbone, allowPartial);
}

async function dataOf({
  preset,
  multiResolution,
  ...choice
}: Pick<ResolvedChoice, 'preset' | 'source' | 'target'> &
  Partial<Pick<ResolvedChoice, 'multiResolution'>>): Promise<DataConfig> {
  const [source, target] = [choice.source, choice.target].map((domain) =>
    typeof domain === 'string' ? { root: domain } : domain,
  ) as [DomainChoice, DomainChoice];
  const base = preset && drivingData(preset, source.root, target.root, multiResolution === 'hrda');
  const domain = async (role: 'source' | 'target', { root, format, scale, range }: DomainChoice) => {
    const fixed = base?.[role];
    if (fixed && format && format !== fixed.format) {
      throw new UsageError(
        `--${role}-format ${format}: the ${role} of ${preset} is in the layout of ${fixed.format}`,
      );
    }
    const chosen = scale ?? fixed?.scale;
    return {
      format: format ?? fixed?.format ?? (await detectFormat(root)),
      root,
      ...(chosen && { scale: chosen }),
      ...(range && { range }),
    };
  };
  return {
    source: await domain('source', source),
    target: await domain('target', target),
    protocols: base?.protocols ?? [],
  };
}

interface DomainChoice {
  root: string;
  format?: DatasetFormat | undefined;
  scale?: DataConfig['source']['scale'];
  range?: DataConfig['source']['range'];
}

/** The classes whose features are held to ImageNet's: DAFormer's on its classes, on others those labelled as things. */
function distanceClasses(classes: readonly ClassInfo[]): number[] {
  if (isCityscapes(classes)) return [...daformerFeatureDistance.classes];
  return classes.flatMap(({ kind, trainId }) => (kind === 'thing' ? [trainId] : []));
}

/** The experiment with as much of the encoder trained as was chosen. */
function withEncoderTraining(
  experiment: Experiment,
  { encoderTraining, layerDecay }: Pick<ResolvedChoice, 'encoderTraining' | 'layerDecay'>,
): Experiment {
  const { segmentor, optimizer } = experiment;
  const isAdapter = encoderTraining === 'lora' || encoderTraining === 'rein';
  return {
    ...experiment,
    segmentor: { ...segmentor, ...(isAdapter && { adapter: adapters[encoderTraining] }) },
    optimizer: {
      ...optimizer,
      ...(encoderTraining === 'frozen' && { encoder: encoderTraining }),
      ...(layerDecay !== undefined && { layerDecay }),
    },
  };
}

function experimentOf(choice: ResolvedChoice, classes: readonly ClassInfo[], device: string): Experiment {
  const { preset, method, network, iterations, batch, lr, seed, weights, multiResolution } = choice;
  const side = preset && multiResolution === 'hrda' ? 1024 : 512;
  const { crop = { width: side, height: side } } = choice;
  const { activationCheckpointing, skipNotFinite, precision, style, fdaBeta, denoise, lossWeights } = choice;
  const { maskedConsistency } = choice;
  const scales = chosenResolutions(multiResolution, crop);
  const overrides = {
    iterations,
    batch,
    crop,
    lr,
    seed,
    ...chosenPrecision(precision, device),
    ...(activationCheckpointing && { activationCheckpointing }),
    ...(skipNotFinite > 0 && { skipNotFinite }),
  };
  const parts = {
    style: chosenStyle(style, fdaBeta),
    maskedConsistency: chosenMasking(maskedConsistency),
    denoise: chosenDenoising(denoise),
    weighting: lossWeights === 'fixed' ? undefined : weightings[lossWeights],
  };
  const imageNet =
    weights !== undefined && !isStartName(weights) && !isDino(networks[network ?? 'mit-b0'][0]);
  if (preset) {
    return drivingExperiment(preset, method, network ?? 'mit-b5', imageNet, {
      ...overrides,
      ...parts,
      ...scales,
    });
  }
  const [backbone, head] = networks[network ?? 'mit-b0'];
  const things = imageNet ? distanceClasses(classes) : [];
  return daformerRecipe({
    segmentor: segmentorConfig(backbone, head, { classes: classes.length, ...scales }),
    method: methodConfig(method, {
      // A pixel is a negative for all but its most likely classes: with few classes there are fewer of those.
      contrast: { ...pgpcContrast, rank: Math.min(pgpcContrast.rank, classes.length - 1) },
      featureDistance: things.length > 0 && { ...daformerFeatureDistance, classes: things },
      ...parts,
    }),
    ...overrides,
  });
}
