// The processor, as records of numbers that hold to the bit name it.

import { cpus } from 'node:os';
import { buildInfo } from '@pgpc/torch';

/** Virtual machines give one name to processors with and without AVX-512, which add up in another order. */
export const processorHere = () => ({ processor: cpus()[0]!.model, instructions: buildInfo().instructions });
