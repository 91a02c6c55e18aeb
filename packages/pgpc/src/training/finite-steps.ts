// Steps whose losses or gradients are not finite: found without waiting for the device, named, and undone where that is wanted.

import type { Sample } from '@pgpc/datasets';
import { keep, noGrad, ops, type optim, type Tensor, tidy } from '@pgpc/torch';
import type { AdaptationStep, StepLosses } from '../adaptation/step.js';
import type { DrawnSamples } from '../pipeline/loader.js';
import { namedLosses } from './losses.js';

/** A step with a number that is not finite. */
export interface NotFiniteStep {
  /** Steps done with it: the first step is 1. */
  iteration: number;
  /** Such as `loss/total is NaN`. */
  what: string;
  /** Of all ranks. */
  drawn: DrawnSamples;
}

interface Judged extends Omit<NotFiniteStep, 'what'> {
  names: readonly string[];
  /** (N), on the device: each loss, and the norm of each gradient and of each tensor that a step writes. */
  numbers: Tensor;
}

/** Copies of everything that a step changes, but for generators and the optimizer's count of steps. */
interface Kept {
  /** By the name of a part, and in it by the name of a tensor. */
  parts: Map<string, Map<string, Tensor>>;
  optimizer: Map<string, Tensor>;
}

/** Looks at every step of a training. Until it is asked, nothing waits for the device. */
export class FiniteSteps {
  readonly #judged: Judged[] = [];
  #kept: Kept | undefined;

  /** @param undo whether a step that is not finite leaves everything as it was. That takes copies of it all. */
  constructor(
    readonly step: AdaptationStep,
    readonly optimizer: optim.Optimizer,
    readonly undo: boolean,
  ) {}

  /** Before each step. */
  begin(): void {
    if (!this.undo) return;
    const { parts } = this.step;
    this.#kept = tidy(() =>
      noGrad(() => ({
        parts: new Map([...parts.state()].map(([name, part]) => [name, copies(part.stateDict())])),
        optimizer: copies(this.optimizer.stateDict().tensors),
      })),
    );
  }

  /**
   * After each step, before the next.
   * @param iteration steps done with it.
   */
  end(iteration: number, losses: StepLosses, drawn: DrawnSamples): void {
    tidy(() =>
      noGrad(() => {
        const { execution, student } = this.step;
        const values = namedLosses(losses);
        const gradients = [...student.namedParameters()].flatMap(([name, param]) => {
          const gradient = execution.gradientOf(param);
          return gradient ? [[`the gradient of ${name}`, gradient] as const] : [];
        });
        const written = [...gradients, ...this.#stored()];
        // The norm is the fastest of what NaN and infinities show in; it is itself infinite from some 1e19 on.
        const norms = ops._foreachNorm(written.map(([, tensor]) => tensor));
        const all = [...values.map(([, value]) => value), ...norms];
        // Every rank has the same numbers, as a mean is not finite where one of them is not.
        const numbers = execution.world.mean(ops.stack(all.map((value) => value.to('float32'))));
        if (this.#kept) this.#putBack(this.#kept, numbers.isfinite().all().logicalNot());
        const names = [...values, ...written].map(([name]) => name);
        this.#judged.push({ iteration, drawn, names, numbers: keep(numbers) });
      }),
    );
    this.#freeKept();
  }

  /**
   * Numbers that the step's passes write besides weights: banks, statistics of batch norms. They may take up what is not
   * finite of a step with a finite loss, as the teacher sees pixels of the target that the student does not.
   */
  #stored(): [name: string, value: Tensor][] {
    const { parts } = this.step;
    const { student, teacher } = parts;
    // The weights of the networks show in the gradients.
    const networks = { student, ...(teacher && { teacher: teacher.network }) };
    const others = [...parts.state()].filter(([part]) => part !== 'frozen' && !Object.hasOwn(networks, part));
    const written = [
      ...Object.entries(networks).map(([part, network]) => [part, network.namedBuffers()] as const),
      ...others.map(([part, stateful]) => [part, stateful.written?.() ?? stateful.stateDict()] as const),
    ];
    return written.flatMap(([part, tensors]) =>
      [...tensors]
        .filter(([, { dtype, numel }]) => dtype.includes('float') && numel > 0)
        .map(([name, value]): [string, Tensor] => [`${name} of the ${part}`, value]),
    );
  }

  /** @param broken (), bool. The host does not know it: everything is written, with what it was or what it is. */
  #putBack(kept: Kept, broken: Tensor): void {
    // The CPU has nothing to wait for.
    if (broken.device === 'cpu' && broken.item() === 0) return;
    const { parts, execution } = this.step;
    for (const [name, part] of parts.state()) {
      const before = kept.parts.get(name)!;
      const state = [...part.stateDict()].map(
        ([key, now]) => [key, ops.where(broken, before.get(key)!, now)] as const,
      );
      part.loadStateDict(new Map(state));
    }
    for (const [name, now] of this.optimizer.stateDict().tensors) {
      // Running values are made in the first step, and start at 0.
      const before = kept.optimizer.get(name) ?? now.zerosLike();
      now.copy_(ops.where(broken, before, now));
    }
    execution.weightsChanged();
  }

  /** The steps since it was last asked that are not finite, in their order. Waits for the device. */
  take(): NotFiniteStep[] {
    const judged = this.#judged.splice(0);
    return judged.flatMap(({ names, numbers, ...step }) => {
      const values = Array.from(numbers.toArray(), Number);
      numbers.dispose();
      const at = values.findIndex((value) => !Number.isFinite(value));
      return at < 0 ? [] : [{ ...step, what: `${names[at]} is ${values[at]}` }];
    });
  }

  #freeKept(): void {
    for (const tensors of [...(this.#kept?.parts.values() ?? []), this.#kept?.optimizer ?? new Map()]) {
      for (const tensor of tensors.values()) tensor.dispose();
    }
    this.#kept = undefined;
  }

  dispose(): void {
    for (const { numbers } of this.#judged.splice(0)) numbers.dispose();
    this.#freeKept();
  }
}

function copies(tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...tensors].map(([name, tensor]) => [name, keep(tensor.clone())]));
}

/** The files of a batch in words: ids, each with its files. */
export function describeDrawn({ source, target }: DrawnSamples): string {
  const listed = (samples: readonly Sample[]) =>
    samples
      .map(
        ({ id, image, label }) => `${id} (${[image, label].filter((file) => file !== undefined).join(', ')})`,
      )
      .join(', ');
  return `of the source ${listed(source)}${target ? `; of the target ${listed(target)}` : ''}`;
}
