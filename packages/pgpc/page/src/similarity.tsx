// How alike the prototypes of classes are: a table of cosines.

import type { RunClass } from '../../src/training/run-directory/schema.js';
import { Swatch } from './colors.js';
import { cosine } from './cosine.js';
import type { Model } from './model.js';

/** The prototype of a class: a row of unit length. */
export interface Prototype {
  readonly name: string;
  readonly row: ArrayLike<number>;
}

/** Up to so many classes, the numbers are in the table; of more they are read at the pointer. */
const WITH_NUMBERS = 24;

export function Similarity({
  model,
  classes,
  prototypes,
}: {
  model: Model;
  classes: readonly RunClass[];
  prototypes: readonly Prototype[];
}) {
  const pairs = prototypes.flatMap((a, i) =>
    prototypes.slice(i + 1).map((b) => ({ a: a.name, b: b.name, value: cosine(a.row, b.row) })),
  );
  if (pairs.length === 0) return <p class="muted">Fewer than two classes have a prototype at this step.</p>;
  const mean = pairs.reduce((sum, { value }) => sum + value, 0) / pairs.length;
  const most = pairs.reduce((best, pair) => (pair.value > best.value ? pair : best));
  return (
    <>
      <p>
        Mean cosine of two classes: <strong>{mean.toFixed(2)}</strong>; at 1 all features are the same. Most
        alike: {most.a} and {most.b}, {most.value.toFixed(2)}.
      </p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <td class="cosine-of" />
              {prototypes.map(({ name }) => (
                <th key={name} scope="col" class="cosine-to">
                  <span>{name}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {prototypes.map((a) => (
              <tr key={a.name}>
                <th scope="row" class="cosine-of">
                  <Swatch model={model} classes={classes} name={a.name} />
                  {a.name}
                </th>
                {prototypes.map((b) => {
                  const value = cosine(a.row, b.row).toFixed(2);
                  return (
                    <td
                      key={b.name}
                      class={prototypes.length > WITH_NUMBERS ? 'cosine narrow' : 'cosine'}
                      title={`${a.name}, ${b.name}: ${value}`}
                      style={{ background: shade(value) }}
                    >
                      <span>{value}</span>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The deeper, the farther from 0; one hue for each sign. */
function shade(value: string): string {
  const share = Math.min(1, Math.abs(Number(value)));
  return `color-mix(in srgb, var(--method-${Number(value) < 0 ? 2 : 1}) ${Math.round(70 * share)}%, var(--page))`;
}
