// A method of one's own: entropy minimisation on the target's pixels, and pseudo-labels of certain pixels alone.
//
// Load it with `pgpc train --plugin examples/dist/own-loss.js --method own ...`; `--help` beside it shows its options.

import { nn, ops, sizeOf } from '@pgpc/torch';
import { field, registerMethod, registerPart, z } from 'pgpc';

registerPart({
  name: 'certain',
  text: 'entropy of the student on target pixels, and pseudo-labels of certain pixels alone',
  options: z.strictObject({
    weight: field(z.number().min(0), 'weight of the entropy', 0.01),
    threshold: field(z.number().min(0).max(1), 'least top probability of a pseudo-label', 0.9),
  }),
  create: ({ weight, threshold }) => ({
    mixedLoss({ logits, mask }) {
      const p = logits.softmax(1); // (B, C, h, w)
      const entropy = ops.xlogy(p, p).sum([1]).neg(); // (B, h, w)
      const pasted = mask.unsqueeze(1).to('float32'); // (B, 1, H, W)
      const onTarget = ops.upsampleNearest2d(pasted, sizeOf(entropy)).squeeze(1).neg().add(1);
      return entropy.mul(onTarget).mean().mul(weight);
    },
    pseudoLabels({ logits }, size) {
      const [top, label] = nn.interpolate(logits, size).softmax(1).max(1);
      const certain = top.ge(threshold).to('float32'); // (B, H, W)
      return { label, weight: certain, q: certain.mean() };
    },
  }),
});

registerMethod('own', 'self-training', { certain: {} });
