// The view of the contrast: the features that the banks hold as a map, the prototypes over time, and how alike they are.

import { useEffect, useState } from 'preact/hooks';
import { css } from '../../src/report/format.js';
import type { RunClass } from '../../src/training/run-directory/schema.js';
import { PaletteChoice, shownColors } from './colors.js';
import { withoutContrast } from './contrast-options.js';
import type { FeatureMap, MapTask, Point } from './feature-map.js';
import type { MapNews } from './map-worker.js';
import type { Model } from './model.js';
import { eachRow, type Rows, readSafetensors } from './safetensors.js';
import { Similarity } from './similarity.js';
import { StepChoice } from './step-choice.js';

type Run = Model['chosenRuns'][number];

/** What a run recorded: prototypes of its checkpoints, by class, and rows of its banks. */
interface Features {
  readonly checkpoints: readonly {
    readonly iteration: number;
    readonly prototypes: Map<number, Float32Array>;
  }[];
  readonly stored: readonly { readonly bank: string; readonly owner: number; readonly row: Float32Array }[];
}

/** What the rows of a bank are, by its name. */
const BANKS: Readonly<Record<string, string>> = {
  centres: 'centre of a batch',
  positives: 'pixel',
  negatives: 'negative',
};

export function Contrast({ model }: { model: Model }) {
  const [asked, setAsked] = useState<string>();
  const runs = model.chosenRuns;
  const recorded = runs.filter(({ pictures }) => pictures?.contrast);
  const run = recorded.find(({ id }) => id === asked) ?? recorded[0];
  return (
    <>
      {recorded.length > 1 && (
        <div class="tools">
          <label>
            run{' '}
            <select value={run!.id} onChange={(event) => setAsked(event.currentTarget.value)}>
              {recorded.map(({ id, label }) => (
                <option key={id} value={id}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
      {run && <Recorded key={run.id} model={model} run={run} />}
      {runs
        .filter((one) => !recorded.includes(one))
        .map(({ id, label, info }) => (
          <p key={id} class="muted">
            {label}: {withoutContrast(info)}.
          </p>
        ))}
    </>
  );
}

function Recorded({ model, run }: { model: Model; run: Run }) {
  const [step, setStep] = useState<number>();
  const [only, setOnly] = useState('');
  const [layout, setLayout] = useState<'neighbours' | 'variance'>('neighbours');
  const { features, fault } = useFeatures(run);
  const maps = useMaps(features);
  const { classes } = run.info;
  if (fault !== undefined) return <p class="notice failed">{fault}</p>;
  if (!features) return <p class="muted">The features are read.</p>;
  const steps = features.checkpoints.map(({ iteration }) => iteration);
  const at = step !== undefined && steps.includes(step) ? step : steps.at(-1)!;
  const now = features.checkpoints.find(({ iteration }) => iteration === at)!;
  const named = [...now.prototypes].map(([id, row]) => ({ name: classes[id]!.name, row }));
  const map = layout === 'variance' ? maps?.variance : (maps?.neighbours ?? maps?.variance);
  return (
    <>
      <div class="tools">
        <StepChoice steps={steps} step={at} onStep={setStep} />
        <label>
          class{' '}
          <select value={only} onChange={(event) => setOnly(event.currentTarget.value)}>
            <option value="">all</option>
            {classes.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          map{' '}
          <select value={layout} onChange={(event) => setLayout(event.currentTarget.value as 'variance')}>
            <option value="neighbours">what is alike side by side (UMAP)</option>
            <option value="variance">widest spread (PCA)</option>
          </select>
        </label>
        <PaletteChoice model={model} />
      </div>
      <h2>The banks, and the prototypes over time</h2>
      {map ? (
        <Plane model={model} classes={classes} features={features} map={map} at={at} only={only} />
      ) : (
        <p class="muted">The map is made.</p>
      )}
      <p class="muted small" aria-live="polite">
        {layout === 'neighbours' && maps?.neighbours === undefined && 'By PCA, until UMAP is done. '}
        {layout === 'neighbours' && maps?.neighbours === null && 'By PCA: UMAP needs more features. '}
        {countsOf(features)} of step {steps.at(-1)!.toLocaleString('en-US')}; a ring is the prototype of a
        class, its line where that was at the checkpoints before. An earlier prototype lies beside what it is
        most like of what the banks hold now.
      </p>
      <h2>Cosines of the prototypes at step {at.toLocaleString('en-US')}</h2>
      <Similarity model={model} classes={classes} prototypes={named} />
    </>
  );
}

/** How many rows there are of each bank, in words. */
function countsOf({ stored }: Features): string {
  const counts = Object.entries(BANKS).flatMap(([bank, word]) => {
    const count = stored.filter((one) => one.bank === bank).length;
    return count === 0 ? [] : [`${count} × ${word}`];
  });
  return counts.length === 0
    ? 'No bank has rows: prototypes'
    : `A point is one feature (${counts.join(', ')})`;
}

/** Read anew where the run has written anew. */
function useFeatures({ id, pictures }: Run): { features?: Features; fault?: string } {
  const [read, setRead] = useState<{ features?: Features; fault?: string }>({});
  const { checkpoints, memory } = pictures!.contrast!;
  const key = [memory, ...checkpoints.map(({ prototypes }) => prototypes)].join(' ');
  useEffect(() => {
    let gone = false;
    readFeatures(id, checkpoints, memory).then(
      (features) => !gone && setRead({ features }),
      (error: Error) => !gone && setRead({ fault: error.message }),
    );
    return () => {
      gone = true;
    };
  }, [id, key]);
  return read;
}

async function readFeatures(
  run: string,
  checkpoints: readonly { iteration: number; prototypes: string }[],
  memory: string,
): Promise<Features> {
  const read = async (file: string) => {
    const response = await fetch(`/api/features?${new URLSearchParams({ run, file })}`);
    if (!response.ok) throw new Error(((await response.json()) as { error: string }).error);
    return readSafetensors(await response.arrayBuffer());
  };
  const [banks, ...each] = await Promise.all(
    [memory, ...checkpoints.map(({ prototypes }) => prototypes)].map(read),
  );
  return {
    checkpoints: each.map((file, i) => ({
      iteration: checkpoints[i]!.iteration,
      prototypes: knownRows(file.get('prototypes')!, file.get('known')!),
    })),
    stored: Object.keys(BANKS).flatMap((bank) => {
      const rows = banks!.get(bank);
      const owners = banks!.get(`${bank}.owner`);
      return rows && owners ? eachRow(rows).map((row, i) => ({ bank, owner: owners.values[i]!, row })) : [];
    }),
  };
}

function knownRows(prototypes: Rows, known: Rows): Map<number, Float32Array> {
  return new Map(eachRow(prototypes).flatMap((row, id) => (known.values[id] ? [[id, row] as const] : [])));
}

/** The rows in the order of the map: the banks' and the newest prototypes place it, the earlier prototypes move into it. */
function taskOf({ checkpoints, stored }: Features): MapTask {
  const newest = checkpoints.at(-1)!;
  return {
    placed: [...stored.map(({ row }) => row), ...newest.prototypes.values()],
    moved: checkpoints.slice(0, -1).flatMap(({ prototypes }) => [...prototypes.values()]),
  };
}

function useMaps(features: Features | undefined): MapNews | undefined {
  const [maps, setMaps] = useState<MapNews>();
  useEffect(() => {
    setMaps(undefined);
    if (!features) return undefined;
    const worker = new Worker('/map-worker.js', { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<MapNews>) => setMaps(data);
    worker.postMessage(taskOf(features));
    return () => worker.terminate();
  }, [features]);
  return maps;
}

const WIDTH = 720;
const HEIGHT = 480;
const EDGE = 28;

/** The size of a letter of a name. */
const LETTER = { width: 6, height: 12 };

/** Where a name stands left of its ring, since it would leave the picture. */
const isRight = (x: number) => x > WIDTH - 100;

function Plane({
  model,
  classes,
  features,
  map,
  at,
  only,
}: {
  model: Model;
  classes: readonly RunClass[];
  features: Features;
  map: FeatureMap;
  at: number;
  only: string;
}) {
  const { stored, checkpoints } = features;
  const place = placing([...map.placed, ...map.moved]);
  const colors = shownColors(model, classes);
  const isOther = (id: number) => only !== '' && classes[id]!.name !== only;
  const paths = pathsOf(features, map, at);
  const rings = [...paths].map(([id, path]) => ({
    id,
    at: place(path.at(-1)!.point),
    name: classes[id]!.name,
  }));
  const named = namedRings(rings.filter(({ id }) => !isOther(id)));
  return (
    <svg
      class="plane"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Map of ${stored.length} features and of the prototypes of ${paths.size} classes at ${checkpoints.length} checkpoints; how alike they are is in the table below`}
    >
      {stored.map(({ bank, owner }, i) => {
        const [x, y] = place(map.placed[i]!);
        const { name } = classes[owner]!;
        const isNegative = bank === 'negatives';
        return (
          <circle
            key={i}
            class={`point ${bank} ${isOther(owner) ? 'other' : ''}`}
            cx={x}
            cy={y}
            r={isNegative ? 2.2 : 3.4}
            fill={isNegative ? undefined : css(colors[owner]!)}
          >
            <title>{isNegative ? `negative of ${name}` : `${name}: ${BANKS[bank]}`}</title>
          </circle>
        );
      })}
      {[...paths].map(([id, path]) => {
        const points = path.map(({ point }) => place(point));
        const [x, y] = points.at(-1)!;
        const { name } = classes[id]!;
        return (
          <g key={id} class={`prototype ${isOther(id) ? 'other' : ''} ${name === only ? 'only' : ''}`}>
            <title>{`${name}: prototype, from step ${path[0]!.iteration} to ${path.at(-1)!.iteration}`}</title>
            <polyline points={points.map((point) => point.join(',')).join(' ')} />
            {points.slice(0, -1).map(([px, py], i) => (
              <circle key={i} class="was" cx={px} cy={py} r="2" />
            ))}
            <circle class="ring" cx={x} cy={y} r="6.5" fill={css(colors[id]!)} />
            {named.has(id) && (
              <text x={x + (isRight(x) ? -10 : 10)} y={y + 4} text-anchor={isRight(x) ? 'end' : 'start'}>
                {name}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}

/** Where the prototype of each class was, up to a step. */
function pathsOf({ checkpoints, stored }: Features, map: FeatureMap, at: number) {
  const paths = new Map<number, { iteration: number; point: Point }[]>();
  let moved = 0;
  for (const [i, { iteration, prototypes }] of checkpoints.entries()) {
    const isNewest = i === checkpoints.length - 1;
    for (const [order, id] of [...prototypes.keys()].entries()) {
      const point = isNewest ? map.placed[stored.length + order]! : map.moved[moved++]!;
      if (iteration <= at) paths.set(id, [...(paths.get(id) ?? []), { iteration, point }]);
    }
  }
  return paths;
}

/** The rings whose names fit beside them, without one over another. */
function namedRings(rings: readonly { id: number; at: Point; name: string }[]): Set<number> {
  const taken: { left: number; right: number; y: number }[] = [];
  const named = new Set<number>();
  for (const { id, at, name } of rings) {
    const [x, y] = at;
    const width = 14 + LETTER.width * name.length;
    const box = isRight(x) ? { left: x - width, right: x, y } : { left: x, right: x + width, y };
    const isFree = taken.every(
      (other) => Math.abs(other.y - y) > LETTER.height || other.right < box.left || box.right < other.left,
    );
    if (!isFree) continue;
    taken.push(box);
    named.add(id);
  }
  return named;
}

/** Brings points into the picture, by one scale for both directions. */
function placing(points: readonly Point[]): (point: Point) => Point {
  const ends = ([0, 1] as const).map((axis) => {
    const values = points.map((point) => point[axis]);
    return [Math.min(...values), Math.max(...values)] as const;
  });
  const [[left, right], [top, bottom]] = ends as [readonly [number, number], readonly [number, number]];
  const scale = Math.min((WIDTH - 2 * EDGE) / (right - left || 1), (HEIGHT - 2 * EDGE) / (bottom - top || 1));
  const rounded = (value: number) => Math.round(10 * value) / 10;
  return ([x, y]) => [
    rounded(WIDTH / 2 + (x - (left + right) / 2) * scale),
    rounded(HEIGHT / 2 + (y - (top + bottom) / 2) * scale),
  ];
}
