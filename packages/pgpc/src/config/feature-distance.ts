// Options of DAFormer's feature distance to the ImageNet encoder.

import { z } from 'zod';
import { defaultsOf, field } from './fields.js';

/** The defaults are DAFormer's for the classes of Cityscapes: traffic light and sign, and all that moves. */
export const featureDistanceSchema = z.strictObject({
  weight: field(z.number().min(0), 'lambda_FD', 0.005),
  classes: field(
    z.array(z.number().int().min(0).max(254)).min(1),
    'trainIds of the compared classes, which ImageNet shows',
    [6, 7, 11, 12, 13, 14, 15, 16, 17, 18],
  ),
  minShare: field(
    z.number().gt(0.5).max(1),
    "least share of one class in a feature's patch of the label",
    0.75,
  ),
});

export type FeatureDistanceOptions = Readonly<z.infer<typeof featureDistanceSchema>>;

export const daformerFeatureDistance = defaultsOf(featureDistanceSchema);
