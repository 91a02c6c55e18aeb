// The checkpoint to keep where the target has no labels, and the signs that adaptation is collapsing.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson, writeJson } from '@pgpc/datasets';
import { type Tensor, tidy } from '@pgpc/torch';
import { z } from 'zod';
import type { AdaptationStep } from '../adaptation/step.js';
import type { UnlabelledScoreName } from '../config/scores.js';
import { type UnlabelledScores, unlabelledScores } from '../evaluation/unlabelled.js';
import { MODEL_FILE, saveSegmentor } from '../models/checkpoint.js';
import type { SegmentorOutput } from '../models/segmentor.js';
import type { PixelStore } from '../pipeline/pixels.js';

/** Target images that a checkpoint is scored on, if there are so many. */
export const SCORED_IMAGES = 16;

/** A class that had this share of the predicted pixels counts as one that the model knows. */
const KNOWN_SHARE = 1e-3;

/** Below this share it counts as gone. */
const GONE_SHARE = 1e-5;

/** Fall of the entropy, as a share of it, and of the agreement that together count as collapse. */
const ENTROPY_FALL = 0.05;
const AGREEMENT_FALL = 0.02;

const SELECTION_FILE = 'selection.json';

/** What is known of the checkpoints before. */
export const selectionSchema = z.object({
  /** The kept checkpoint: steps done and the score that it was kept for. */
  best: z.object({ iteration: z.number(), value: z.number() }).optional(),
  /** Highest share of every class until it was found gone. */
  peaks: z.array(z.number()),
  previous: z.object({ entropy: z.number(), agreement: z.number().optional() }).optional(),
});

export type SelectionState = z.infer<typeof selectionSchema>;

/** What one checkpoint's scores say. */
export interface Verdict {
  /** Better than all before. */
  best: boolean;
  /** One line for each sign of collapse. */
  warnings: string[];
}

/** The score with its sign turned where lower is better; undefined where the model does not have it. */
export function goodness(scores: UnlabelledScores, name: UnlabelledScoreName): number | undefined {
  return name === 'entropy' ? -scores.entropy : scores[name];
}

/** Compares checkpoints in the order in which they come. */
export class ModelSelection {
  #state: SelectionState;

  /** @param classes their names, in the order of trainIds. @param state of a run that is resumed. */
  constructor(
    readonly score: UnlabelledScoreName,
    readonly classes: readonly string[],
    state: SelectionState = { peaks: classes.map(() => 0) },
  ) {
    this.#state = state;
  }

  /** @param iteration steps done. */
  judge(iteration: number, scores: UnlabelledScores): Verdict {
    const { best, peaks, previous } = this.#state;
    const warnings = scores.shares.flatMap((share, c) =>
      peaks[c]! >= KNOWN_SHARE && share < GONE_SHARE
        ? [`class '${this.classes[c]}' has vanished from the predictions on the target`]
        : [],
    );
    const { entropy, agreement } = scores;
    if (previous?.agreement !== undefined && agreement !== undefined) {
      const surer = entropy < (1 - ENTROPY_FALL) * previous.entropy;
      if (surer && agreement < previous.agreement - AGREEMENT_FALL) {
        warnings.push(
          `entropy fell from ${previous.entropy.toFixed(3)} to ${entropy.toFixed(3)} while the agreement of student ` +
            `and teacher fell from ${previous.agreement.toFixed(3)} to ${agreement.toFixed(3)}: the student grows sure of what the teacher does not see`,
        );
      }
    }
    const value = goodness(scores, this.score) ?? Number.NaN;
    const better = value > (best?.value ?? Number.NEGATIVE_INFINITY);
    this.#state = {
      best: better ? { iteration, value } : best,
      // A class that was found gone is told of once, until it has been there again.
      peaks: scores.shares.map((share, c) => (share < GONE_SHARE ? 0 : Math.max(share, peaks[c]!))),
      previous: { entropy, agreement },
    };
    return { best: better, warnings };
  }

  get state(): SelectionState {
    return this.#state;
  }
}

/** The scores of a step's student, with its teacher and prototypes where it has them. */
export function scoreStep(
  { student, parts: { teacher, contrast } }: AdaptationStep,
  images: readonly Tensor[],
  onImage?: (done: number, total: number) => void,
): UnlabelledScores {
  // Classes that the source has not shown yet have none.
  using prototypes = contrast && tidy(() => contrast.prototypes().index([contrast.known()]));
  return unlabelledScores<SegmentorOutput>(
    {
      student: student.segmentor,
      teacher: teacher?.network.segmentor,
      prototypes: prototypes && {
        rows: prototypes,
        input: (output) => student.projection!.input(output),
        project: (features) => student.projection!.call(features),
      },
    },
    images,
    { onImage },
  );
}

/** The images of the target that checkpoints are scored on, evenly spaced. @throws DatasetError if one does not decode. */
export function scoringImages(target: PixelStore): Promise<Tensor[]> {
  const count = Math.min(SCORED_IMAGES, target.length);
  return Promise.all(
    Array.from({ length: count }, (_, i) => target.image(Math.floor((i * target.length) / count))),
  );
}

/** A damaged file says nothing: it is there for people, and the state of a training has its own account. */
function stateIn(folder: string): SelectionState | undefined {
  try {
    return selectionSchema.parse(parseJson(readFileSync(join(folder, SELECTION_FILE), 'utf8')));
  } catch {
    return undefined;
  }
}

/** Scores checkpoints on images of the target and keeps the best model in a folder. */
export class CheckpointSelection {
  private constructor(
    readonly selection: ModelSelection,
    readonly folder: string,
    readonly images: readonly Tensor[],
  ) {}

  /**
   * Reads the images, evenly spaced over the target.
   * @param state of earlier checkpoints, of a run that is resumed; left out: what the folder says of them, if it does.
   * @throws DatasetError if an image does not decode.
   */
  static async open(
    folder: string,
    target: PixelStore,
    score: UnlabelledScoreName,
    classes: readonly string[],
    state: SelectionState | undefined = stateIn(folder),
  ): Promise<CheckpointSelection> {
    const images = await scoringImages(target);
    return new CheckpointSelection(new ModelSelection(score, classes, state), folder, images);
  }

  /** Scores the student as it is, and saves it if it is the best so far. */
  check(
    step: AdaptationStep,
    iteration: number,
    onImage?: (done: number, total: number) => void,
  ): Verdict & { scores: UnlabelledScores } {
    const scores = scoreStep(step, this.images, onImage);
    const verdict = this.selection.judge(iteration, scores);
    if (verdict.best) saveSegmentor(join(this.folder, MODEL_FILE), step.student.segmentor);
    writeJson(join(this.folder, SELECTION_FILE), { score: this.selection.score, ...this.selection.state });
    return { ...verdict, scores };
  }

  dispose(): void {
    for (const image of this.images) image.dispose();
  }
}
