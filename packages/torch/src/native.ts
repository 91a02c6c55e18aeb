// Loads the native bridge and owns the command buffer that calls travel through.

import { fileURLToPath } from 'node:url';
import { loadAddon, setupCommand } from '@pgpc/addon';
import type { Native } from './generated/protocol.js';

const folder = fileURLToPath(new URL('..', import.meta.url));

/** The command that builds the bridge, as this package is installed. */
export const setup = () => setupCommand(folder);

// GNU OpenMP reads this when it is loaded. Its default is to spin at the end of every parallel loop; where another
// process has one of the cores, each loop then waits for a whole time slice of the scheduler: measured 20 times slower.
process.env.OMP_WAIT_POLICY ??= 'passive';

const bridge = loadAddon(folder, 'bridge');
if (bridge === undefined) {
  throw new Error(
    `the bridge to libtorch is not built for this folder and this processor: run \`${setup()}\``,
  );
}
export const native = bridge as Native;

/** Doubles that a call's arguments and results travel in; grown by {@link growCommand}. */
export let command = new Float64Array(1 << 14);
native.setCommandBuffer(command);

/** Makes room for `length` doubles; what is in the buffer stays. */
export function growCommand(length: number): void {
  const grown = new Float64Array(2 ** Math.ceil(Math.log2(length)));
  grown.set(command);
  command = grown;
  native.setCommandBuffer(command);
}
