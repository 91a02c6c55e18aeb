// What `pgpc export` says.
import type { ExportedOnnx, ExportOnnxOptions } from '../../export/export-onnx.js';
import { percent } from '../../export/runtime-check.js';

const MEGABYTE = 1e6;

type Asked = Required<Pick<ExportOnnxOptions, 'weights' | 'foldPreprocessing'>> &
  Pick<ExportOnnxOptions, 'size' | 'out'>;

/** The file, what enters and leaves it, and how it compares with the network. */
export function describeExport({ file, model, bytes, config, checked }: ExportedOnnx, asked: Asked): string {
  const { foldPreprocessing, weights, size } = asked;
  const range = foldPreprocessing ? 'in 0 .. 255' : 'in 0 .. 1, normalised as preprocessor_config.json says';
  const shape = (dims: readonly (number | string)[]) => `(${dims.join(', ')})`;
  const resized = model.output[2] === model.input[2] ? "at the image's size" : 'before resizing to the image';
  const lines = [
    `${file}: ${config.backbone} with ${config.head}, ${(bytes / MEGABYTE).toFixed(1)} MB, weights in ${weights}, ${model.nodes} operators of opset ${model.opset}`,
    `  pixel_values ${shape(model.input)}: float32, RGB ${range}`,
    `  logits ${shape(model.output)}: float32, before softmax and ${resized}`,
    ...(model.fixedBecause === undefined ? [] : [`  for this size alone, as ${model.fixedBecause}`]),
    checked === undefined
      ? '  not compared with the network (--no-check)'
      : `  on ${checked.images}: largest error ${checked.result.maxError.toExponential(1)}, same class at ${percent(checked.result.equal)} of ${checked.result.pixels} pixels (${checked.result.runtime})`,
  ];
  if (size !== undefined) {
    lines.push(`for TensorRT: trtexec --onnx=${file} --saveEngine=${asked.out}/model.plan`);
  }
  return `${lines.join('\n')}\n`;
}

/** The same, for JSON. */
export function exportFacts({ file, model, bytes, config, checked }: ExportedOnnx, asked: Asked): object {
  const { opset, nodes, input, output, fixedBecause } = model;
  const { weights, foldPreprocessing } = asked;
  return {
    ...{ file, bytes, network: config, weights, foldPreprocessing, opset, operators: nodes },
    ...{ input, output, fixedBecause },
    checked: checked ? { images: checked.images, ...checked.result } : null,
  };
}
