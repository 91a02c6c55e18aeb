// `pgpc data`: making data sets.
import { examples, option, type Register } from '../command.js';
import { integer, outputFolder, seed, size } from '../values.js';

const COUNT = integer(0, 100_000);

export const registerData: Register = (parent, handlers, io) => {
  const data = parent.command('data').summary('make data sets').description('Make data sets.');
  data
    .command('render')
    .summary('render labelled street scenes of two looks')
    .description(
      'Render labelled street scenes of two looks: a source in the layout of GTA5 and a target in that of ' +
        'Cityscapes. The same seed gives the same files; a folder that is complete is left as it is.',
    )
    .addOption(option('--out <folder>', 'folder to write to', outputFolder, 'data/street-synth'))
    .addOption(option('--seed <number>', 'seed of the scenes', seed, 1))
    .addOption(option('--size <WxH>', 'pixels of all images (default: source 256x144, target 256x128)', size))
    .addOption(option('--source-train <count>', 'source images to train on', COUNT, 500))
    .addOption(option('--source-val <count>', 'source images to validate on', COUNT, 50))
    .addOption(option('--target-train <count>', 'target images to train on', COUNT, 500))
    .addOption(option('--target-val <count>', 'target images to validate on', COUNT, 100))
    .addHelpText('after', examples('pgpc data render --out data/streets --size 512x256 --target-val 200'))
    .action(async ({ out, seed, size, sourceTrain, sourceVal, targetTrain, targetVal }) => {
      await handlers.render({ out, seed, size, sourceTrain, sourceVal, targetTrain, targetVal }, io);
    });
};
