// Which checkpoint is shown: a slider over the steps of all that there are.

export function StepChoice({
  steps,
  step,
  onStep,
}: {
  /** Rising. */
  steps: readonly number[];
  step: number;
  onStep: (step: number) => void;
}) {
  const words = `step ${step.toLocaleString('en-US')}`;
  return (
    <label>
      checkpoint{' '}
      <input
        type="range"
        min="0"
        max={steps.length - 1}
        step="1"
        value={steps.indexOf(step)}
        disabled={steps.length < 2}
        aria-valuetext={words}
        onInput={(event) => onStep(steps[Number(event.currentTarget.value)]!)}
      />{' '}
      {words}
    </label>
  );
}
