// `pgpc init`

import type { MethodName } from '../../config/method.js';
import { examples, type JsonChoice, jsonOption, option, type Register } from '../command.js';
import { CONFIG_FILE } from '../config-file.js';
import { telling } from '../output/json.js';
import { checkedBy, existingFolder, outputFolder } from '../values.js';
import { DEFAULT_METHOD, methodList } from './adapt.js';

interface InitOptions {
  readonly folder: string;
  readonly sourceRoot: string | undefined;
  readonly targetRoot: string | undefined;
  readonly methods: readonly MethodName[];
}

export const registerInit: Register = (parent, act) => {
  parent
    .command('init')
    .summary('write the options of an adaptation to a file, after a look at the data')
    .description(
      'Ask for a folder of labelled images and one of the camera, check every file, propose which classes are the same where they ' +
        `differ (classes.yaml), and write ${CONFIG_FILE}, which pgpc adapt reads. Nothing is asked that a flag answers, and nothing ` +
        'that is there is written over.',
    )
    .argument('[folder]', 'folder to write to', checkedBy(outputFolder), '.')
    .addOption(
      option('--source-root <folder>', 'labelled source images (default: asked for)', existingFolder),
    )
    .addOption(option('--target-root <folder>', 'target images (default: asked for)', existingFolder))
    .addOption(
      option(
        '--methods <names>',
        'methods to adapt by, with commas between them',
        methodList,
        [DEFAULT_METHOD],
        DEFAULT_METHOD,
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples('pgpc init', 'pgpc init camera --source-root data/simulator --target-root data/camera'),
    )
    .action(async (folder, options) => {
      await act('init', init, { folder, ...options } as InitOptions & JsonChoice);
    });
};

const init = telling(async (options: InitOptions, io, tell) => {
  const { writeProject } = await import('../output/init.js');
  await writeProject(options, io, tell);
});
