// The picture with what the networks make of it: a canvas for each, one over the other, and the border between two.

import type { TriedDescription } from '../../src/try/protocol.js';
import type { Segmented } from './networks.js';

type Colors = TriedDescription['classes'];

export class Stage {
  readonly #picture: HTMLCanvasElement;
  /** Of the network, and over it of the source network, which is cut off at the border. */
  readonly #overlays: readonly HTMLCanvasElement[];
  /** RGBA of each class as one number, as a canvas has it in memory. */
  readonly #colors: Uint32Array;

  constructor(
    readonly element: HTMLElement,
    classes: Colors,
    networks: number,
  ) {
    const canvas = (name: string) => {
      const made = document.createElement('canvas');
      made.className = name;
      element.prepend(made);
      return made;
    };
    const overlays =
      networks > 1 ? [canvas('source overlay'), canvas('network overlay')] : [canvas('network overlay')];
    this.#overlays = overlays.reverse();
    this.#picture = canvas('picture');
    const bytes = classes.flatMap(({ color }) => [...color, 255]);
    this.#colors = new Uint32Array(Uint8Array.from(bytes).buffer);
  }

  /** Shows a picture with its labels. @param picture of their size; is closed. */
  show(picture: ImageBitmap, { width, height, labels }: Segmented): void {
    this.element.style.setProperty('--ratio', `${width} / ${height}`);
    sized(this.#picture, width, height).drawImage(picture, 0, 0);
    picture.close();
    for (const [i, overlay] of this.#overlays.entries()) {
      const pixels = new Uint32Array(width * height);
      const own = labels[i]!;
      for (let at = 0; at < pixels.length; at++) pixels[at] = this.#colors[own[at]!]!;
      const data = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
      sized(overlay, width, height).putImageData(data, 0, 0);
    }
    this.element.hidden = false;
  }

  /** @param share 0 .. 1 */
  setOpacity(share: number): void {
    this.element.style.setProperty('--opacity', String(share));
  }

  /** @param share of the width that shows the source network, 0 .. 1 */
  setBorder(share: number): void {
    this.element.style.setProperty('--border', `${100 * share}%`);
  }

  /** @param drag receives where on the width a pointer is that presses on the picture, 0 .. 1. */
  onDrag(drag: (share: number) => void): void {
    const moved = (event: PointerEvent) => {
      if (event.buttons === 0) return;
      const { left, width } = this.element.getBoundingClientRect();
      drag(Math.min(1, Math.max(0, (event.clientX - left) / width)));
    };
    this.element.addEventListener('pointerdown', (event) => {
      this.element.setPointerCapture(event.pointerId);
      moved(event);
    });
    this.element.addEventListener('pointermove', moved);
  }
}

function sized(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  // Setting a size clears a canvas, and makes a new one in memory.
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  if (context === null) throw new Error(`a picture of ${width}x${height} is too large for this browser`);
  return context;
}
