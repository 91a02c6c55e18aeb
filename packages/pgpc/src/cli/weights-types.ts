// The options of `pgpc weights`, checked.

/** Forms that `pgpc weights convert` writes. */
export const WEIGHT_TARGETS = ['pgpc', 'hf'] as const;
export type WeightTarget = (typeof WEIGHT_TARGETS)[number];

interface NetworkChoice {
  /** Of a self-training checkpoint; undefined: the student. */
  readonly network: 'student' | 'teacher' | undefined;
}

export interface InspectWeightsOptions extends NetworkChoice {
  /** Existing file. */
  readonly file: string;
  readonly json: boolean;
}

export interface ConvertWeightsOptions extends NetworkChoice {
  /** Existing file. */
  readonly file: string;
  readonly to: WeightTarget;
  /** File to write; of `hf` the folder. */
  readonly out: string;
  /** Leave a decoder out. */
  readonly encoder: boolean;
  readonly allowPartial: boolean;
}

export interface PullWeightsOptions {
  /** One of the catalog, or owner/repository. */
  readonly name: string;
  /** Origin in place of the publisher's. */
  readonly hub: string | undefined;
  readonly out: string;
  readonly sha256: string | undefined;
}
