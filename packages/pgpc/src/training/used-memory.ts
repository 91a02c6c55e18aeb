// How much memory a training takes, for its log.

import { cudaAvailable, deviceMemory } from '@pgpc/torch';

const GIB = 2 ** 30;

/**
 * In GiB: what this process holds of the machine's memory now, and on a GPU the most that has been reserved there since the
 * start. Nothing waits for the device.
 */
export function usedMemory(device: string): Record<string, number> {
  const onGpu = device.startsWith('cuda') && cudaAvailable();
  return {
    'memory/process': process.memoryUsage.rss() / GIB,
    ...(onGpu && { 'memory/gpu': deviceMemory().peakReserved / GIB }),
  };
}
