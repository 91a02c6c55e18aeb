// The colours of classes: the run's own, or ones for all eyes.

import type { RunClass } from '../../src/training/run-directory/schema.js';
import type { Model } from './model.js';
import { type Rgb, safeColors } from './safe-colors.js';

let safe: readonly Rgb[] = [];

/** The colours that are shown, in the order of the classes. */
export function shownColors(model: Model, classes: readonly RunClass[]): readonly Rgb[] {
  if (model.state.palette === 'own') return classes.map(({ color }) => color);
  if (safe.length < classes.length) safe = safeColors(classes.length);
  return safe.slice(0, classes.length);
}

export function Swatch({
  model,
  classes,
  name,
}: {
  model: Model;
  classes: readonly RunClass[];
  name: string;
}) {
  const color = shownColors(model, classes)[classes.findIndex((one) => one.name === name)];
  return <i style={{ background: `rgb(${color?.join(' ')})` }} />;
}

/** Which colours classes have. */
export function PaletteChoice({ model }: { model: Model }) {
  return (
    <label>
      class colours{' '}
      <select
        value={model.state.palette}
        onChange={(event) => model.look({ palette: event.currentTarget.value as 'own' })}
      >
        <option value="own">of the run</option>
        <option value="safe">safe for colour-blind eyes</option>
      </select>
    </label>
  );
}
