// How a device is entered before something is trained on it.

import { cudaAvailable, deviceMath, setDevice } from '@pgpc/torch';
import type { Precision } from '../config/precision.js';

/** Makes a GPU the current one and says how it computes; nothing to do for the CPU. Before any tensor is made there. */
export function enterDevice(device: string, precision: Precision = 'float32'): void {
  if (!device.startsWith('cuda')) return;
  if (cudaAvailable()) setDevice(device);
  // Where products take bfloat16, the 10 bits of tf32 are not what limits the rest. To try cuDNN's algorithms takes
  // twenty seconds of a process for MiT, and finds nothing better than what cuDNN takes by itself.
  deviceMath({ tf32: precision === 'bfloat16', benchmark: false });
}
