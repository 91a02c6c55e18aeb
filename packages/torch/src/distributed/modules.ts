// Layers that look at the whole batch, told that the batch is spread over ranks.

import { RandomDrop, type StateModule } from '../nn/index.js';
import { BatchNorm } from '../nn/norm.js';
import type { World } from './world.js';

/**
 * Makes batch norm take its statistics over all ranks' batches, and dropout draw one mask for all of them and apply each
 * rank's part of it: the network then computes on its part of the batch what it would compute on the whole.
 */
export function spreadOver(world: World, network: StateModule): void {
  for (const module of network.namedModules().values()) {
    if (module instanceof BatchNorm || module instanceof RandomDrop) module.world = world;
  }
}
