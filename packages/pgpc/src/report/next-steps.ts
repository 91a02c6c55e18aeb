// What to do with a run's network, as commands: at the end of `pgpc adapt` and `pgpc demo`, and in the report.

import { shellQuoted } from '../shell-quoted.js';

/** A command, and what it gives. */
export interface NextStep {
  readonly command: string;
  readonly gives: string;
}

/** @param run its directory. @returns the commands for its network, with a place for what only the user knows in capitals */
export function nextSteps(run: string): readonly NextStep[] {
  const path = shellQuoted(run);
  return [
    {
      command: `pgpc predict ${path} PHOTOS`,
      gives: 'overlays and label maps of your own pictures and videos',
    },
    {
      command: `pgpc export onnx ${path} --out DIR`,
      gives: 'the network for ONNX Runtime, TensorRT and browsers',
    },
    {
      command: `pgpc try ${path}`,
      gives: 'pictures and a camera in the browser, before and after adaptation',
    },
  ];
}
