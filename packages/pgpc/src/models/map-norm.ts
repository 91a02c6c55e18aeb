// Layer norm over the channels of maps.

import { nn, type Tensor } from '@pgpc/torch';

const EPS = 1e-6;

/** Each position's channels to mean 0 and variance 1, then scaled and shifted: (B, D, h, w) to (B, D, h, w). */
export class MapNorm extends nn.LayerNorm {
  constructor(channels: number) {
    super(channels, { eps: EPS });
  }

  override forward(map: Tensor): Tensor {
    return super.forward(map.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]);
  }
}
