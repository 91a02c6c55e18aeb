// `pgpc eval`: a saved model on a labelled split: scores as a table and as JSON, predictions as files.

import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClassInfo, SegmentationDataset } from '@pgpc/datasets';
import { detectFormat, isCityscapes, openDataset } from '@pgpc/datasets';
import { type Evaluation, evaluateSegmentor, toLabelMap } from '../evaluation/evaluate.js';
import { writePrediction } from '../evaluation/label-files.js';
import { CITYSCAPES_PROTOCOLS, type Protocol, protocolMiou } from '../evaluation/protocols.js';
import { meanOfKnown } from '../evaluation/scores.js';
import { describeDevice, useCores, versions } from '../machine.js';
import { loadSegmentor } from '../models/checkpoint.js';
import { percent } from '../report/format.js';
import { MODEL_FILE } from '../training/trainer.js';
import { UsageError } from './command.js';
import { chosenDevice } from './device.js';
import { progress } from './output/progress.js';
import { textTable } from './output/table.js';
import type { EvaluateCheckpoint, EvaluateOptions } from './train-types.js';

/** The model's file, where the path may be that of the checkpoint's folder. */
export function modelFile(checkpoint: string): string {
  return statSync(checkpoint).isDirectory() ? join(checkpoint, MODEL_FILE) : checkpoint;
}

export const evaluateCheckpoint: EvaluateCheckpoint = async (options, io) => {
  useCores();
  const device = chosenDevice(options.device);
  const { checkpoint, targetRoot, split, inference, boundary, savePredictions, predictions } = options;
  using segmentor = loadSegmentor(modelFile(checkpoint)).to({ device });
  const format = options.format ?? (await detectFormat(targetRoot));
  const dataset = await openDataset({ format, root: targetRoot, split });
  if (options.classes && !isCityscapes(dataset.classes)) {
    throw new UsageError(`--classes ${options.classes}: the classes of ${targetRoot} are not Cityscapes'`);
  }
  const bar = progress({
    label: `evaluate ${split}`,
    total: dataset.samples.length,
    stream: io.stderr,
    unit: 'images',
  });
  const began = performance.now();
  const evaluation = await evaluateSegmentor(segmentor, dataset, {
    ...inference,
    boundary,
    signal: io.signal,
    onImage: async (done, _total, index, prediction) => {
      bar.update(done);
      if (!savePredictions) return;
      const { id } = dataset.samples[index]!;
      await writePrediction(savePredictions, id, toLabelMap(prediction), dataset.classes, predictions);
    },
  });
  bar.done();
  const seconds = (performance.now() - began) / 1000;
  io.stdout.write(evaluationTable(evaluation, dataset.classes, options.classes));
  if (savePredictions) io.stdout.write(`predicted ${predictions}: ${savePredictions}\n`);
  if (options.json) {
    const results = resultsOf(options, dataset, evaluation, seconds, device);
    writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
    io.stdout.write(`results: ${options.json}\n`);
  }
};

/** Scores by class, their means over the shown classes, and what is counted over all pixels, in percent. */
function evaluationTable(
  { scores, boundary }: Evaluation,
  classes: readonly ClassInfo[],
  protocol: Protocol | undefined,
): string {
  const shown = protocol ? CITYSCAPES_PROTOCOLS[protocol].map((trainId) => classes[trainId]!) : classes;
  const columns = [scores.iou, scores.classAccuracy, ...(boundary ? [boundary.iou] : [])];
  const rows = shown.map(({ name, trainId }) => [
    name,
    ...columns.map((column) => percent(column[trainId]!)),
  ]);
  const means = columns.map((column) => percent(meanOfKnown(shown.map(({ trainId }) => column[trainId]!))));
  return textTable(
    ['%', 'IoU', 'accuracy', ...(boundary ? ['boundary IoU'] : [])],
    [
      ...rows,
      [`mean of ${shown.length}`, ...means],
      ['all pixels', percent(scores.frequencyWeightedIou), percent(scores.accuracy)],
    ],
  );
}

/** What `--json` writes; a number that does not exist is null. */
function resultsOf(
  { checkpoint, inference }: EvaluateOptions,
  { name, root, split, samples, classes }: SegmentationDataset,
  { scores, confusion, boundary }: Evaluation,
  seconds: number,
  device: string,
) {
  const protocols = Object.keys(CITYSCAPES_PROTOCOLS).map((count) => Number(count) as Protocol);
  return {
    checkpoint,
    dataset: { name, root, split, images: samples.length },
    inference,
    miou: scores.miou,
    ...(isCityscapes(classes) && {
      miouOverClasses: Object.fromEntries(
        protocols.map((protocol) => [protocol, protocolMiou(scores.iou, protocol)]),
      ),
    }),
    accuracy: scores.accuracy,
    meanAccuracy: scores.meanAccuracy,
    frequencyWeightedIou: scores.frequencyWeightedIou,
    ...(boundary && { boundaryMiou: boundary.miou }),
    classes: classes.map((info, i) => ({
      name: info.name,
      iou: scores.iou[i],
      accuracy: scores.classAccuracy[i],
      ...(boundary && { boundaryIou: boundary.iou[i] }),
    })),
    confusion,
    seconds,
    device: describeDevice(device),
    versions: versions(),
  };
}
