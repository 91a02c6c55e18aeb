// Adapts a network from a folder with labels to a folder without, as `pgpc train` does.
//
//   node examples/dist/adapt-two-folders.js data/simulator data/camera 40000

import { resolveTraining, runTraining } from 'pgpc';

const [source = 'data/simulator', target = 'data/camera', steps = '40000'] = process.argv.slice(2);
const crop = { width: 256, height: 128 };
const config = await resolveTraining({ source, target, crop, iterations: Number(steps) });
const { run, result } = await runTraining(config, {
  onEvent: (event) => {
    if (event.kind === 'log') console.log(`step ${event.iteration}: loss ${event.values['loss/total']}`);
  },
});
console.log(`${run}: mIoU on the target ${result?.miou}`);
