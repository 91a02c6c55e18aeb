// The typed description of a method: DAFormer is the step without contrast, source-only the step without target.

import { z } from 'zod';
import { type BatchContrastOptions, batchContrastSchema, publishedBatchContrast } from './batch-contrast.js';
import { type ContrastOptions, contrastSchema, pgpcContrast, plusContrast } from './contrast.js';
import { type DenoiseOptions, denoiseSchema } from './denoise.js';
import {
  daformerFeatureDistance,
  type FeatureDistanceOptions,
  featureDistanceSchema,
} from './feature-distance.js';
import { type WeightingOptions, weightingSchema } from './loss-weights.js';
import { type MaskedConsistencyOptions, maskedConsistencySchema } from './masked-consistency.js';
import { partsSchema } from './parts.js';
import { daformerSelfTraining, type SelfTrainingOptions, selfTrainingSchema } from './self-training.js';
import { type StyleOptions, styleSchema } from './style.js';

export const methodSchema = z
  .strictObject({
    /** Left out: the step trains only on the source. */
    selfTraining: selfTrainingSchema.optional(),
    /** Left out: no pixels are contrasted. Needs `selfTraining`, whose teacher and mixed image it uses. */
    contrast: contrastSchema.optional(),
    /** Left out: pixels are not contrasted within a batch. Needs `selfTraining`, whose mixed image it uses. */
    batchContrast: batchContrastSchema.optional(),
    /** Left out: the encoder may forget what ImageNet taught it. Needs an encoder with ImageNet's weights. */
    featureDistance: featureDistanceSchema.optional(),
    /** Left out: the source image stays as it is. Goes with every method; target images are never labelled. */
    style: styleSchema.optional(),
    /** Left out: no image is masked. Needs `selfTraining`, whose pseudo-labels it uses. */
    maskedConsistency: maskedConsistencySchema.optional(),
    /** Left out: the teacher is taken at its word. Needs `selfTraining`, whose teacher it corrects. */
    denoise: denoiseSchema.optional(),
    /** Left out: lambda_t and lambda_c keep the weights of `selfTraining` and `contrast`; else they start there. */
    weighting: weightingSchema.optional(),
    /** Registered parts, by name. They need `selfTraining`, whose step they take part in. */
    parts: partsSchema.optional(),
  })
  .refine(
    ({ selfTraining }) =>
      !selfTraining?.imageMargins || (selfTraining.ignoreTop === 0 && selfTraining.ignoreBottom === 0),
    {
      path: ['selfTraining', 'imageMargins'],
      error: 'imageMargins take the place of ignoreTop and ignoreBottom, which must then be 0',
    },
  )
  .refine((method) => !method.contrast || method.selfTraining, {
    error: 'contrast needs selfTraining: its anchors and negatives come from the teacher and the mixed image',
  })
  .refine((method) => !method.batchContrast || method.selfTraining, {
    error: 'batchContrast needs selfTraining: it contrasts the mixed image',
  })
  .refine((method) => !method.denoise || method.selfTraining, {
    error: 'denoise needs selfTraining: without a teacher there is nothing to clean',
  })
  .refine((method) => method.denoise?.where !== 'contrast' || method.contrast, {
    path: ['denoise', 'where'],
    error: 'denoise for the contrast alone needs contrast',
  })
  .refine((method) => !method.maskedConsistency || method.selfTraining, {
    error: 'maskedConsistency needs selfTraining: the teacher says what is hidden',
  })
  .refine(
    ({ contrast, maskedConsistency }) =>
      contrast?.anchorView !== 'masked' || maskedConsistency?.domain === 'target',
    {
      path: ['contrast', 'anchorView'],
      error: 'anchorView masked needs maskedConsistency of the domain target, whose pass it uses',
    },
  )
  .refine(({ weighting, contrast }) => !weighting || contrast?.anchorView !== 'masked', {
    path: ['weighting'],
    error:
      'weighting weighs the losses of the mixed image, and anchorView masked takes the anchors elsewhere',
  })
  .refine((method) => !method.weighting || method.selfTraining, {
    error: 'weighting needs selfTraining: with L_s alone there is nothing to weigh',
  })
  .refine(
    ({ weighting, selfTraining, contrast }) =>
      !weighting || (selfTraining?.weight !== 0 && contrast?.weight !== 0),
    {
      path: ['weighting'],
      error: 'weighting starts from selfTraining.weight and contrast.weight, which must then be above 0',
    },
  )
  .refine(
    ({ weighting, contrast }) =>
      !weighting ||
      ((contrast?.anchorDomains ?? 'target') === 'target' && (contrast?.features ?? 'decoder') === 'decoder'),
    {
      path: ['weighting'],
      error:
        "weighting sees the decoder's features of the mixed image alone: contrast with anchorDomains target",
    },
  )
  .refine((method) => !method.parts || method.selfTraining, {
    path: ['parts'],
    error: 'parts need selfTraining: they take part in the step on the target',
  });

export type MethodConfig = z.infer<typeof methodSchema>;

/** Whether a step needs target images beside the source. */
export function usesTarget({ selfTraining, style }: MethodConfig): boolean {
  return selfTraining !== undefined || style !== undefined;
}

/** What the named methods are made of; a part left out has the papers' numbers. */
export interface MethodParts {
  selfTraining?: SelfTrainingOptions;
  contrast?: ContrastOptions;
  batchContrast?: BatchContrastOptions;
  /** `false` where the encoder starts from random values: then there is nothing to keep. */
  featureDistance?: FeatureDistanceOptions | false;
  /** Left out: none. */
  style?: StyleOptions | undefined;
  /** Left out: none. Of no use to `source-only`. */
  maskedConsistency?: MaskedConsistencyOptions | undefined;
  /** Left out: none. Of no use to `source-only`. */
  denoise?: DenoiseOptions | undefined;
  /** Left out: fixed weights. Of no use to `source-only`. */
  weighting?: WeightingOptions | undefined;
}

/** What a named method adds to the source's cross-entropy: from no adaptation to all of it. */
interface Composition {
  readonly adds: readonly ('selfTraining' | 'featureDistance' | 'contrast' | 'batchContrast')[];
  /** Options of the contrast that differ from the paper's. */
  readonly contrast?: Partial<ContrastOptions>;
  /** Registered parts, with options that differ from their defaults. */
  readonly parts?: MethodConfig['parts'];
}

const compositions = new Map<string, Composition>(
  Object.entries({
    'source-only': { adds: [] },
    'self-training': { adds: ['selfTraining'] },
    daformer: { adds: ['selfTraining', 'featureDistance'] },
    pgpc: { adds: ['selfTraining', 'featureDistance', 'contrast'] },
    'pgpc-plus': { adds: ['selfTraining', 'featureDistance', 'contrast'], contrast: plusContrast },
    'batch-contrast': { adds: ['selfTraining', 'featureDistance', 'batchContrast'] },
  } satisfies Record<MethodName, Composition>),
);

/** The methods of the paper's tables. */
export type MethodName =
  | 'source-only'
  | 'self-training'
  | 'daformer'
  | 'pgpc'
  | 'pgpc-plus'
  | 'batch-contrast';

/** All methods by name: first the ones of the paper's tables, then the registered ones. */
export const methodNames: string[] = [...compositions.keys()];

/**
 * Gives a method with registered parts a name, for `--method` and {@link methodConfig}.
 * @param base the method that it adds parts to, one with self-training.
 * @param parts registered parts with the options that differ from their defaults.
 * @throws Error for a name that is taken, or a base without a teacher.
 */
export function registerMethod(
  name: string,
  base: Exclude<MethodName, 'source-only'>,
  parts: Record<string, Record<string, unknown>>,
): void {
  if (compositions.has(name)) throw new Error(`there is a method '${name}' already`);
  const based = compositions.get(base);
  // Parts, and masked images, would be dropped without a word: JavaScript does not see the type of `base`.
  if (!based?.adds.includes('selfTraining')) {
    const bases = methodNames.filter((known) => compositions.get(known)?.adds.includes('selfTraining'));
    throw new Error(
      `the method '${name}' adds parts to one with self-training: '${base}' is not one of ${bases.join(', ')}`,
    );
  }
  compositions.set(name, { ...based, parts: { ...based.parts, ...parts } });
  methodNames.push(name);
}

/**
 * The methods of the paper's tables, as compositions of the same parts: self-training adds the target to source-only,
 * DAFormer the feature distance to that, and PGPC the contrast; our own `pgpc-plus` changes the contrast.
 * @param name one of {@link methodNames}. @throws Error for another one.
 */
export function methodConfig(name: string, given: MethodParts = {}): MethodConfig {
  const method = compositions.get(name);
  if (!method) throw new Error(`there is no method '${name}'; there are ${methodNames.join(', ')}`);
  const { style, denoise, weighting, maskedConsistency } = given;
  const { selfTraining = daformerSelfTraining, contrast = pgpcContrast } = given;
  const { batchContrast = publishedBatchContrast } = given;
  const { featureDistance = daformerFeatureDistance } = given;
  const { adds, parts } = method;
  if (!adds.includes('selfTraining')) return { ...(style && { style }) };
  return {
    selfTraining,
    ...(adds.includes('featureDistance') && featureDistance && { featureDistance: { ...featureDistance } }),
    ...(style && { style }),
    ...(maskedConsistency && { maskedConsistency }),
    ...(denoise && { denoise }),
    ...(weighting && { weighting }),
    ...(adds.includes('contrast') && { contrast: { ...contrast, ...method.contrast } }),
    ...(adds.includes('batchContrast') && { batchContrast }),
    ...(parts && { parts }),
  };
}

/** How results and reports call a method: by its name, and by what it lacks of its composition. */
export function methodLabel(name: string, method: MethodConfig): string {
  const isWhole = method.featureDistance || !compositions.get(name)?.adds.includes('featureDistance');
  return isWhole ? name : `${name} without its feature distance`;
}
