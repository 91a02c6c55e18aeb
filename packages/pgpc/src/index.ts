/** What a program outside of this package builds on. @module pgpc */

export * from '@pgpc/datasets';
export {
  STREET_SYNTH_VERSION,
  type StreetSynthFolders,
  type StreetSynthOptions,
  streetSynthFolders,
  writeStreetSynth,
} from '@pgpc/street-synth';
export { z } from 'zod';
export { FeatureDistance, featureDistance, thingMask } from './adaptation/feature-distance.js';
export { Learner } from './adaptation/learner.js';
export { segmentationLoss } from './adaptation/losses.js';
export * from './adaptation/parts.js';
export type { PseudoLabels } from './adaptation/pseudo-labels.js';
export { AdaptationStep, type StepLosses } from './adaptation/step.js';
export { alignChannels, channelStatistics } from './adaptation/style/dcan.js';
export { exchangeAmplitude } from './adaptation/style/fda.js';
export { styledImage } from './adaptation/style/style.js';
export * from './config/index.js';
export type { ModelInferenceOptions } from './evaluation/as-trained.js';
export { evaluateSegmentor } from './evaluation/evaluate.js';
export { type EvaluateOptions, evaluate, type ModelEvaluation } from './evaluation/evaluate-model.js';
export { type InferenceOptions, predictLabels } from './evaluation/inference.js';
export { type Predictions, type PredictOptions, predict } from './evaluation/predict.js';
export type { PredictionLine } from './evaluation/predict-journal.js';
export type { LabelFormat, PictureKind } from './evaluation/prediction-format.js';
export { CITYSCAPES_PROTOCOLS, protocolMiou } from './evaluation/protocols.js';
export { spearman } from './evaluation/rank-correlation.js';
export { type ScoredModel, type UnlabelledScores, unlabelledScores } from './evaluation/unlabelled.js';
export { type ExportedOnnx, type ExportOnnxOptions, exportOnnx } from './export/export-onnx.js';
export type { OnnxCheck } from './export/runtime-check.js';
export type { WeightFormat } from './export/weight-formats.js';
export type { ModelAbout } from './models/about.js';
export { loadModel, loadSegmentor, saveSegmentor } from './models/checkpoint.js';
export type { Backbone, Checkpointable, DecodeHead, DecoderOutput } from './models/decoder.js';
export { withoutInitialValues } from './models/initial-values.js';
export {
  createNetwork,
  Network,
  type NetworkOptions,
  type NetworkOutputs,
  networkNames,
} from './models/networks.js';
export { Segmentor, type SegmentorOutput } from './models/segmentor.js';
export { loadBackboneWeights, loadSegmentorWeights } from './models/weights/fit.js';
export type { Batch } from './pipeline/batch.js';
export { PixelStore } from './pipeline/pixels.js';
export { classCounts } from './pipeline/rare-class-sampling.js';
export { daformerRecipe } from './recipes/daformer.js';
export { drivingData, drivingExperiment } from './recipes/driving.js';
export { streetSynthPreset } from './recipes/street-synth.js';
export { writeReport } from './report/report.js';
export type { TrainingChoice } from './training/choice.js';
export { BadFilesError, openData } from './training/data.js';
export type { ScoringForecast, TrainingEvent, TrainingResult } from './training/events.js';
export { type LaunchIo, launchTraining } from './training/launch.js';
export { exportLog } from './training/logs/export.js';
export type { LogFormat } from './training/logs/formats.js';
export { resolveTraining } from './training/resolve.js';
export {
  type ResumeTrainingOptions,
  type RunTrainingOptions,
  resumeTraining,
  runChoice,
  runTraining,
  type TrainingProcessOptions,
} from './training/run.js';
export { openRun, type Run } from './training/run-directory/open-run.js';
export { CheckpointSelection, ModelSelection, scoreStep } from './training/selection.js';
export { Trainer, type TrainingData } from './training/trainer.js';
