// `pgpc export`: trained networks as files for other runtimes.
import type { ExportOnnxOptions } from '../../export/export-onnx.js';
import { WEIGHT_FORMATS } from '../../export/weight-formats.js';
import { bestOption } from '../checkpoint-options.js';
import { examples, jsonOption, option, type Register } from '../command.js';
import { telling } from '../output/json.js';
import { checkedBy, existingFolder, existingPath, oneOf, outputFolder, size } from '../values.js';

type ExportFlags = ExportOnnxOptions & Required<Pick<ExportOnnxOptions, 'weights' | 'foldPreprocessing'>>;

export const registerExport: Register = (parent, act) => {
  const group = parent
    .command('export')
    .summary('write a trained network for other runtimes')
    .description('Write a trained network as files that other runtimes run without this project.');

  group
    .command('onnx')
    .summary('write a network as a checked ONNX file')
    .description(
      'Write model.onnx (pixel_values to logits, any batch and size), config.json with the classes and ' +
        'preprocessor_config.json. The file is run in ONNX Runtime (onnxruntime-node) and compared with the network before ' +
        'it gets its name; one that differs too much is refused.',
    )
    .argument(
      '<model>',
      'run directory (its last checkpoint), checkpoint folder, or model file',
      checkedBy(existingPath),
    )
    .addOption(option('--out <folder>', 'folder to write (required)', outputFolder).makeOptionMandatory())
    .addOption(bestOption())
    .addOption(
      option('--size <size>', 'for one image of this size, WIDTHxHEIGHT, alone (default: any)', size),
    )
    .addOption(
      option(
        '--weights <format>',
        `how weights are stored: ${WEIGHT_FORMATS.join(', ')} (one scale a channel); all is computed in float32`,
        oneOf(WEIGHT_FORMATS),
        'float32',
      ),
    )
    .option('--fold-preprocessing', 'take RGB in 0 .. 255 and normalise it in the graph', false)
    .addOption(
      option(
        '--images <folder>',
        "images to compare on (default: the target's of the run, or random ones)",
        existingFolder,
      ),
    )
    .option('--no-check', 'write the file without running it')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc export onnx runs/pgpc-plus --best --out onnx --images photos',
        'pgpc export onnx runs/pgpc-plus --out onnx --size 1024x512 --weights int8',
      ),
    )
    .action(async (checkpoint: string, flags) => {
      await act('exportOnnx', exportModel, { checkpoint, ...flags });
    });
};

const exportModel = telling(async (options: ExportFlags, io, tell) => {
  const { exportOnnx } = await import('../../export/export-onnx.js');
  const { describeExport, exportFacts } = await import('../output/export.js');
  const { useCores } = await import('../../machine.js');
  useCores();
  const exported = await exportOnnx({ ...options, signal: io.signal, onStage: io.stage });
  tell(exportFacts(exported, options));
  io.stdout.write(describeExport(exported, options));
});
