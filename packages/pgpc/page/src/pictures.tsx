// The view of pictures: a target image with truth and predictions, two of them under a slider.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { RunClass } from '../../src/training/run-directory/schema.js';
import { PaletteChoice, Swatch, shownColors } from './colors.js';
import type { Model } from './model.js';
import type { Rgb } from './safe-colors.js';

/** One picture that may be shown of a target image. */
interface Shown {
  readonly label: string;
  readonly address: string;
  /** Of a label map; undefined: a photograph. */
  readonly classes: readonly RunClass[] | undefined;
}

export function Pictures({ model }: { model: Model }) {
  const [place, setPlace] = useState(0);
  const [left, setLeft] = useState<string>();
  const [right, setRight] = useState<string>();
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
        The chosen runs have written no pictures. <code>pgpc demo</code> and <code>pgpc adapt</code> write
        some.
      </p>
    );
  }
  const id = ids[Math.min(place, ids.length - 1)]!;
  const shown = picturesOf(runs, id);
  const predictions = shown.filter(({ classes, label }) => classes && label !== 'truth');
  const find = (label: string | undefined) => shown.find((one) => one.label === label);
  const a = find(left) ?? predictions[0] ?? shown[0]!;
  const b = find(right) ?? predictions.filter((one) => one !== a).at(-1) ?? shown.at(-1)!;
  const classes = [
    ...new Map(runs.flatMap(({ info }) => info.classes.map((one) => [one.name, one]))).values(),
  ];
  const choice = (name: string, value: Shown, set: (label: string) => void) => (
    <label>
      {name}{' '}
      <select value={value.label} onChange={(event) => set(event.currentTarget.value)}>
        {shown.map(({ label }) => (
          <option key={label}>{label}</option>
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
          <figure key={one.label}>
            <Picture model={model} {...one} />
            <figcaption>{one.label}</figcaption>
          </figure>
        ))}
      </div>
    </>
  );
}

function picturesOf(runs: Model['chosenRuns'], id: string): Shown[] {
  const shown: Shown[] = [];
  for (const { id: run, label, info, written, results = [], pictures } of runs) {
    const target = pictures!.target.find((one) => one.id === id);
    if (!target) continue;
    const add = (name: string, file: string, classes?: readonly RunClass[]) => {
      // Images and truth are the same in every run that has the image.
      if (shown.some((one) => one.label === name)) return;
      const asked = new URLSearchParams({ run, file, v: String(written) });
      shown.push({ label: name, address: `/api/picture?${asked}`, classes });
    };
    add('image', target.image);
    if (target.truth !== undefined) add('truth', target.truth, info.classes);
    for (const [method, file] of Object.entries(target.predictions)) {
      const name = results.find((result) => result.name === method)?.label ?? method;
      add(runs.length > 1 ? `${label} · ${name}` : name, file, info.classes);
    }
  }
  return shown;
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

/** A picture on a canvas; label maps in the colours that are chosen. */
function Picture({ model, label, address, classes }: Shown & { model: Model }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [fault, setFault] = useState<string>();
  const colors = classes && shownColors(model, classes);
  const key = colors?.join(';');
  useEffect(() => {
    let gone = false;
    const image = new Image();
    image.onload = () => {
      if (gone || !canvas.current) return;
      setFault(undefined);
      draw(canvas.current, image, classes, colors);
    };
    image.onerror = () => {
      if (!gone) setFault(`${label} is missing`);
    };
    image.src = address;
    return () => {
      gone = true;
    };
  }, [address, key]);
  return fault ? <div class="missing">{fault}</div> : <canvas ref={canvas} role="img" aria-label={label} />;
}

function draw(
  canvas: HTMLCanvasElement,
  image: HTMLImageElement,
  classes: readonly RunClass[] | undefined,
  colors: readonly Rgb[] | undefined,
): void {
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  context.drawImage(image, 0, 0);
  if (!classes || !colors || classes.every(({ color }, i) => color.join() === colors[i]!.join())) return;
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const packed = ([red, green, blue]: Rgb) => 0xff000000 + blue * 0x10000 + green * 0x100 + red;
  const replaced = new Map(classes.map(({ color }, i) => [packed(color), packed(colors[i]!)]));
  const words = new Uint32Array(pixels.data.buffer);
  for (const [i, word] of words.entries()) words[i] = replaced.get(word) ?? word;
  context.putImageData(pixels, 0, 0);
}
