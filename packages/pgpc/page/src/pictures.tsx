// The view of pictures: a target image with truth, predictions and what a training made of it, two of them under a slider.

import { useEffect, useRef, useState } from 'preact/hooks';
import { maskGrid } from '../../src/training/run-directory/mask-grid.js';
import type { PictureIndex, RunClass } from '../../src/training/run-directory/schema.js';
import { PaletteChoice, Swatch, shownColors } from './colors.js';
import { withoutContrast, withoutPictures } from './contrast-options.js';
import type { Model } from './model.js';
import type { Rgb } from './safe-colors.js';
import { StepChoice } from './step-choice.js';

/** One picture that may be shown of a target image. */
interface Shown {
  /** The same at every checkpoint, and for every class. */
  readonly key: string;
  readonly label: string;
  readonly address: string;
  /** Below it: how it is read, and when it was made. */
  readonly note?: string;
  /** Of a label map; undefined: a photograph, or levels of grey. */
  readonly classes: readonly RunClass[] | undefined;
  /** Of a picture of chosen pixels: the photograph that the pixels are of. */
  readonly photo?: string;
  /** Of masks of all classes in one picture: the class whose mask it is, and how many there are. */
  readonly mask?: { readonly id: number; readonly count: number };
}

/** What a training makes of an image at a checkpoint, by kind: what it is called here. Others go by their kind. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['right', 'wrong in black'],
  ['confidence', "teacher's confidence"],
  ['entropy', "teacher's entropy"],
]);
/** What the levels of grey say. */
const LEVELS: ReadonlyMap<string, string> = new Map([
  ['confidence', 'white is sure, '],
  ['entropy', 'white is unsure, '],
]);
/** Kinds in the classes' colours. */
const LABELS = new Set(['prediction', 'pseudo-label', 'anchors']);
/** Kinds that are some of the photograph's pixels. */
const CHOSEN = new Set(['anchors', 'negatives']);

export function Pictures({ model }: { model: Model }) {
  const [place, setPlace] = useState(0);
  const [left, setLeft] = useState<string>();
  const [right, setRight] = useState<string>();
  const [step, setStep] = useState<number>();
  const [negativesOf, setNegativesOf] = useState('');
  const [methodOf, setMethodOf] = useState('');
  const runs = model.chosenRuns.filter(({ pictures }) => (pictures?.target.length ?? 0) > 0);
  const ids = [...new Set(runs.flatMap(({ pictures }) => pictures!.target.map(({ id }) => id)))];
  const move = (by: number) =>
    setPlace((now) => (Math.min(now, ids.length - 1) + by + ids.length) % ids.length);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.target !== document.body || ids.length === 0) return;
      if (event.key === '[') move(-1);
      if (event.key === ']') move(1);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });
  if (ids.length === 0) {
    return (
      <p class="muted">
        The chosen runs have written no pictures. <code>pgpc train</code>, <code>pgpc demo</code> and{' '}
        <code>pgpc adapt</code> write some.
      </p>
    );
  }
  const id = ids[Math.min(place, ids.length - 1)]!;
  const methods = methodsOf(runs, id);
  const names = [...methods.keys()];
  // Most is to be seen of a method with a teacher.
  const withTeacher = (name: string) =>
    runs.some((run) => checkpointsOf(run, id, name).some(({ pictures }) => 'pseudo-label' in pictures));
  const method = methods.has(methodOf) ? methodOf : (names.find(withTeacher) ?? names[0]);
  const steps = stepsOf(runs, id, method);
  const at = step !== undefined && steps.includes(step) ? step : steps.at(-1);
  const classes = [
    ...new Map(runs.flatMap(({ info }) => info.classes.map((one) => [one.name, one]))).values(),
  ];
  const negatives = classes.some(({ name }) => name === negativesOf) ? negativesOf : classes[0]!.name;
  const shown = picturesOf(runs, id, at, { method, negatives });
  const predictions = shown.filter(({ classes, key, photo }) => classes && !photo && key !== 'truth');
  const find = (key: string | undefined) => shown.find((one) => one.key === key);
  // A pseudo-label is compared where there is no other prediction.
  const [labels, others] = [true, false].map((is) =>
    predictions.filter(({ key }) => key.endsWith('pseudo-label') === is),
  ) as [Shown[], Shown[]];
  const a = find(left) ?? others[0] ?? labels[0] ?? shown[0]!;
  const b = find(right) ?? [...labels, ...others].filter((one) => one !== a).at(-1) ?? shown.at(-1)!;
  const choice = (name: string, value: Shown, set: (label: string) => void) => (
    <label>
      {name}{' '}
      <select value={value.key} onChange={(event) => set(event.currentTarget.value)}>
        {shown.map(({ key, label }) => (
          <option key={key} value={key}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <div class="tools">
        <span class="pager">
          <button type="button" onClick={() => move(-1)} aria-label="image before">
            ←
          </button>
          <span>
            {ids.indexOf(id) + 1} of {ids.length}
          </span>
          <button type="button" onClick={() => move(1)} aria-label="next image">
            →
          </button>
        </span>
        {choice('left', a, setLeft)}
        {choice('right', b, setRight)}
        {methods.size > 1 && (
          <label>
            over the training of{' '}
            <select value={method} onChange={(event) => setMethodOf(event.currentTarget.value)}>
              {[...methods].map(([name, label]) => (
                <option key={name} value={name}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        )}
        {at !== undefined && <StepChoice steps={steps} step={at} onStep={setStep} />}
        {shown.some(({ mask }) => mask) && (
          <label>
            negatives of{' '}
            <select value={negatives} onChange={(event) => setNegativesOf(event.currentTarget.value)}>
              {classes.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <PaletteChoice model={model} />
      </div>
      <p class="muted small">{id}</p>
      <Compare model={model} left={a} right={b} />
      <ul class="legend">
        {classes.map(({ name }) => (
          <li key={name}>
            <Swatch model={model} classes={classes} name={name} />
            {name}
          </li>
        ))}
        <li>
          <i class="ignored" />
          ignored
        </li>
      </ul>
      <div class="thumbs">
        {shown.map((one) => (
          <figure key={one.key}>
            <Picture model={model} {...one} />
            <figcaption>
              {one.label}
              {one.note && `, ${one.note}`}
            </figcaption>
          </figure>
        ))}
      </div>
      {at !== undefined && <Missing runs={runs} id={id} method={method} />}
    </>
  );
}

type Checkpoint = NonNullable<PictureIndex['target'][number]['checkpoints']>[number];

/** The checkpoints at which a run looked at an image; with several trainings, one method's. */
function checkpointsOf(
  { pictures }: Model['chosenRuns'][number],
  id: string,
  method: string | undefined,
): readonly Checkpoint[] {
  const checkpoints = pictures!.target.find((one) => one.id === id)?.checkpoints ?? [];
  return checkpoints.filter((one) => one.method === undefined || one.method === method);
}

/** The methods of runs with several trainings, by name what they are called, in the order of the results. */
function methodsOf(runs: Model['chosenRuns'], id: string): Map<string, string> {
  const methods = new Map<string, string>();
  for (const { pictures, results = [] } of runs) {
    const checkpoints = pictures!.target.find((one) => one.id === id)?.checkpoints ?? [];
    const there = new Set(checkpoints.flatMap(({ method }) => method ?? []));
    for (const { name, label } of results) if (there.delete(name)) methods.set(name, label);
    for (const name of there) if (!methods.has(name)) methods.set(name, name);
  }
  return methods;
}

/** The steps of all checkpoints of the runs, rising. */
function stepsOf(runs: Model['chosenRuns'], id: string, method: string | undefined): number[] {
  const steps = runs.flatMap((run) => checkpointsOf(run, id, method).map(({ iteration }) => iteration));
  return [...new Set(steps)].sort((a, b) => a - b);
}

/**
 * @param step a run's last checkpoint up to it is shown. @param method of runs with several trainings: whose are shown.
 * @param negatives the class whose negatives are shown.
 */
function picturesOf(
  runs: Model['chosenRuns'],
  id: string,
  step: number | undefined,
  { method, negatives }: { method: string | undefined; negatives: string },
): Shown[] {
  const shown: Shown[] = [];
  for (const run of runs) {
    const { label, info, written, results = [], pictures } = run;
    const target = pictures!.target.find((one) => one.id === id);
    if (!target) continue;
    const addressOf = (file: string) =>
      `/api/picture?${new URLSearchParams({ run: run.id, file, v: String(written) })}`;
    const add = (key: string, file: string, picture: Partial<Shown> = {}) => {
      // Images and truth are the same in every run that has the image.
      if (shown.some((one) => one.key === key)) return;
      shown.push({ key, label: key, address: addressOf(file), classes: undefined, ...picture });
    };
    const called = (method: string) => results.find(({ name }) => name === method)?.label ?? method;
    const own = (name: string) => (runs.length > 1 ? `${label} · ${name}` : name);
    add('image', target.image);
    if (target.truth !== undefined) add('truth', target.truth, { classes: info.classes });
    for (const [method, file] of Object.entries(target.predictions)) {
      add(own(called(method)), file, { classes: info.classes });
    }
    const one = checkpointsOf(run, id, method).findLast(
      ({ iteration }) => step !== undefined && iteration <= step,
    );
    for (const [kind, file] of Object.entries(one?.pictures ?? {})) {
      const count = info.classes.length;
      const of = info.classes.findIndex(({ name }) => name === negatives);
      if (kind === 'negatives' && of < 0) continue;
      const what = kind === 'negatives' ? `negatives of ${negatives}` : (KINDS.get(kind) ?? kind);
      const whose = one!.method === undefined ? '' : `${called(one!.method)} · `;
      add(own(kind), file, {
        label: own(whose + what),
        note: `${LEVELS.get(kind) ?? ''}${one!.seed === undefined ? '' : `seed ${one!.seed}, `}step ${one!.iteration.toLocaleString('en-US')}`,
        ...(LABELS.has(kind) && { classes: info.classes }),
        ...(CHOSEN.has(kind) && { photo: addressOf(target.image) }),
        ...(kind === 'negatives' && { mask: { id: of, count } }),
      });
    }
  }
  return shown;
}

/** What a reader of these pictures looks for in vain, and why. */
function Missing({
  runs,
  id,
  method,
}: {
  runs: Model['chosenRuns'];
  id: string;
  method: string | undefined;
}) {
  return (
    <>
      {runs.flatMap((run) => {
        // Of several trainings the pictures alone are kept, and the configuration need not say what each one's method has.
        const checkpoints = checkpointsOf(run, id, method).filter((one) => one.method === undefined);
        const kinds = new Set(checkpoints.flatMap(({ pictures }) => Object.keys(pictures)));
        if (kinds.size === 0) return [];
        const words = kinds.has('entropy') ? withoutPictures(run.info, kinds) : [withoutContrast(run.info)];
        return words.map((text) => (
          <p key={`${run.id} ${text}`} class="muted small lacks">
            {run.label}: {text}.
          </p>
        ));
      })}
    </>
  );
}

/** Two pictures in one place; the slider says where one ends and the other begins. */
function Compare({ model, left, right }: { model: Model; left: Shown; right: Shown }) {
  const [at, setAt] = useState(50);
  return (
    <div class="compare" style={{ '--at': `${at}%` }}>
      <Picture model={model} {...right} />
      <div class="over">
        <Picture model={model} {...left} />
      </div>
      <div class="edge" />
      <span class="caption">{left.label}</span>
      <span class="caption right">{right.label}</span>
      <input
        type="range"
        min="0"
        max="100"
        step="0.5"
        value={at}
        onInput={(event) => setAt(Number(event.currentTarget.value))}
        aria-label="where the left picture ends"
      />
    </div>
  );
}

/** A picture on a canvas; label maps in the colours that are chosen, chosen pixels on what they are of. */
function Picture({ model, label, address, classes, photo, mask }: Omit<Shown, 'key'> & { model: Model }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [fault, setFault] = useState<string>();
  const colors = classes && shownColors(model, classes);
  const key = colors?.join(';');
  useEffect(() => {
    let gone = false;
    Promise.all([loaded(address), photo === undefined ? undefined : loaded(photo)]).then(
      ([image, below]) => {
        if (gone || !canvas.current) return;
        setFault(undefined);
        if (below && mask) drawMask(canvas.current, image, below, mask);
        else if (below) drawOver(canvas.current, recoloured(image, classes, colors), below);
        else show(canvas.current, recoloured(image, classes, colors));
      },
      () => {
        if (!gone) setFault(`${label} is missing`);
      },
    );
    return () => {
      gone = true;
    };
  }, [address, key, photo, mask?.id]);
  return fault ? <div class="missing">{fault}</div> : <canvas ref={canvas} role="img" aria-label={label} />;
}

async function loaded(address: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

function show(canvas: HTMLCanvasElement, { width, height, data }: ImageData): void {
  canvas.width = width;
  canvas.height = height;
  canvas
    .getContext('2d', { willReadFrequently: true })!
    .putImageData(new ImageData(data, width, height), 0, 0);
}

/** A part of an image, by default all of it; a canvas of its own gives its pixels. */
function pixelsOf(image: HTMLImageElement, left = 0, top = 0, width?: number, height?: number): ImageData {
  const [w, h] = [width ?? image.naturalWidth, height ?? image.naturalHeight];
  const context = new OffscreenCanvas(w, h).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(image, left, top, w, h, 0, 0, w, h);
  return context.getImageData(0, 0, w, h);
}

/** Draws the photograph, and on each of its pixels what `change` makes of it and of the pixel of a smaller map there. */
function drawBy(
  canvas: HTMLCanvasElement,
  map: ImageData,
  photo: HTMLImageElement,
  change: (word: number, of: number) => number,
): void {
  const pixels = pixelsOf(photo);
  const { width, height } = pixels;
  const [words, chosen] = [new Uint32Array(pixels.data.buffer), new Uint32Array(map.data.buffer)];
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.floor((y * map.height) / height) * map.width;
    for (let x = 0; x < width; x++, i++) {
      words[i] = change(words[i]!, chosen[row + Math.floor((x * map.width) / width)]!);
    }
  }
  show(canvas, pixels);
}

const OPAQUE_BLACK = 0xff000000;

/** A quarter of each channel. */
const dark = (word: number) => (OPAQUE_BLACK | ((word >>> 2) & 0x3f3f3f)) >>> 0;

/** Anchors in the colours of their classes on a dark photograph. */
function drawOver(canvas: HTMLCanvasElement, anchors: ImageData, photo: HTMLImageElement): void {
  drawBy(canvas, anchors, photo, (word, anchor) => (anchor === OPAQUE_BLACK ? dark(word) : anchor));
}

/** The photograph where the mask of the class is set, dark elsewhere. */
function drawMask(
  canvas: HTMLCanvasElement,
  masks: HTMLImageElement,
  photo: HTMLImageElement,
  { id, count }: NonNullable<Shown['mask']>,
): void {
  const { columns, rows } = maskGrid(count);
  const width = masks.naturalWidth / columns;
  const height = masks.naturalHeight / rows;
  const mask = pixelsOf(masks, (id % columns) * width, Math.floor(id / columns) * height, width, height);
  drawBy(canvas, mask, photo, (word, set) => (set === OPAQUE_BLACK ? dark(word) : word));
}

/** An image with the run's colours of classes replaced by the shown ones. */
function recoloured(
  image: HTMLImageElement,
  classes: readonly RunClass[] | undefined,
  colors: readonly Rgb[] | undefined,
): ImageData {
  const pixels = pixelsOf(image);
  if (!classes || !colors || classes.every(({ color }, i) => color.join() === colors[i]!.join()))
    return pixels;
  const packed = ([red, green, blue]: Rgb) => 0xff000000 + blue * 0x10000 + green * 0x100 + red;
  const replaced = new Map(classes.map(({ color }, i) => [packed(color), packed(colors[i]!)]));
  const words = new Uint32Array(pixels.data.buffer);
  for (const [i, word] of words.entries()) words[i] = replaced.get(word) ?? word;
  return pixels;
}
