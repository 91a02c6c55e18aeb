// Moving what a part of the step keeps outside any module.

import { noGrad, type Tensor, tidy } from '@pgpc/torch';

/** Moves the values of tensors, which stay the same objects, to a device. */
export function moveAll(tensors: Iterable<Tensor>, device: string): void {
  tidy(() =>
    noGrad(() => {
      for (const value of tensors) {
        value.setData(value.to({ device }));
        value.changed();
      }
    }),
  );
}
