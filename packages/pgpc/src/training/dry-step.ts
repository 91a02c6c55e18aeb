// The program of the memory check: takes an experiment by message, runs one step of it, answers with the peak.

import { deviceMemory, randn, synchronize, TorchError } from '@pgpc/torch';
import type { Experiment } from '../config/experiment.js';
import { useCores } from '../machine.js';
import { enterDevice } from './device.js';
import type { DryStepAnswer, DryStepTask, StepMemory } from './memory.js';
import { loadPlugins } from './plugins.js';
import { RandomSteps } from './random-steps.js';

process.once('message', async (task: DryStepTask) => {
  await loadPlugins(task.plugins);
  const answer = task.device === 'cpu' ? onCpu(task.experiment) : onGpu(task);
  process.send!(answer, () => process.exit(0));
});

function onCpu(experiment: Experiment): DryStepAnswer {
  return oneStep(experiment, 'cpu');
}

function onGpu({ experiment, device }: DryStepTask): DryStepAnswer {
  enterDevice(device, experiment.precision);
  // The first tensor sets the GPU up for this process, which takes some of its memory in every process.
  randn([1]).to({ device }).dispose();
  const before = deviceMemory();
  try {
    const taken = oneStep(experiment, device);
    const after = deviceMemory();
    // Kernels are loaded when they are first needed, and libraries have room of their own.
    const beside = Math.max(0, before.free - after.free - (after.reserved - before.reserved));
    return { ...taken, peak: after.peakReserved + beside, available: before.free };
  } catch (error) {
    if (error instanceof TorchError && /out of memory/i.test(error.message)) return { full: before.free };
    throw error;
  }
}

/** On a GPU a step's parts are recorded after the first three: by the fifth all is in use that ever will be. */
const STEPS_ON_GPU = 5;

/** A first step makes much that later ones find; where it is fast, a second is timed. */
const TIMED_AGAIN = 2;

/** Runs what the peak is of, and says what that does not hold yet. @returns with the peak of the CPU's memory. */
function oneStep(experiment: Experiment, device: string): Omit<StepMemory, 'device' | 'available'> {
  useCores();
  const steps = new RandomSteps(experiment, device);
  let seconds = 0;
  let peak = 0;
  const another = (done: number) =>
    device === 'cpu' ? done === 0 || (done === 1 && seconds < TIMED_AGAIN) : done < STEPS_ON_GPU;
  for (let i = 0; another(i); i++) {
    const began = performance.now();
    steps.run();
    if (device !== 'cpu') synchronize();
    seconds = (performance.now() - began) / 1000;
    if (i === 0) peak = process.resourceUsage().maxRSS * 1024;
  }
  const values = steps.student.parameters().reduce((sum, { numel }) => sum + numel, 0);
  // AdamW's two running means a parameter, float32, which the second step is the first to have at its peak.
  return { peak, optimizer: device === 'cpu' ? 8 * values : 0, seconds };
}
