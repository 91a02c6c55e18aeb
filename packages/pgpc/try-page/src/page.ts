// The page of `pgpc try`: pictures in, what the networks make of them out.

import type { TriedDescription } from '../../src/try/protocol.js';
import { Camera } from './camera.js';
import { element, found } from './elements.js';
import { differenceOf, fillLegend } from './legend.js';
import { Networks, type Segmented } from './networks.js';
import { Stage } from './stage.js';

const response = await fetch('/try.json');
const description = (await response.json()) as TriedDescription;
const [network, source] = description.networks;

const status = found('status', HTMLElement);
const figures = found('figures', HTMLElement);
const legend = found('legend', HTMLTableElement);
const opacity = found('opacity', HTMLInputElement);
const border = found('border', HTMLInputElement);
const file = found('file', HTMLInputElement);
const cameraButton = found('camera', HTMLButtonElement);

document.title = `${description.title}: pgpc try`;
found('title', HTMLElement).textContent = description.title;
const stage = new Stage(found('stage', HTMLElement), description.classes, source === undefined ? 1 : 2);
const networks = new Networks();
const camera = new Camera();

function say(text: string, isFault = false): void {
  status.textContent = text;
  status.classList.toggle('failed', isFault);
  status.hidden = text === '';
}

function sayFault(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
}

/** Puts a picture through the networks and shows it. */
async function show(picture: ImageBitmap): Promise<void> {
  // The worker takes one for itself.
  const sent = await createImageBitmap(picture);
  const segmented = await networks.segment(sent);
  stage.show(picture, segmented);
  found('result', HTMLElement).hidden = false;
  fillLegend(legend, segmented, description);
  figures.textContent = figuresOf(segmented);
}

function figuresOf(segmented: Segmented): string {
  const { width, height, input, passes, milliseconds } = segmented;
  const each = passes.map((pass) => `${Math.round(pass)} ms`).reverse();
  const entering =
    input.width === width && input.height === height ? '' : `, in as ${input.width} × ${input.height}`;
  const parts = [
    `${width} × ${height}${entering}`,
    `${Math.round(milliseconds)} ms a frame, ${each.length > 1 ? `networks ${each.join(' and ')}` : `network ${each[0]}`}`,
    differenceOf(segmented),
  ];
  return parts.filter((part) => part !== undefined).join(' · ');
}

/** Decodes and shows a picture. @param name as messages call it */
async function showFile(blob: Blob, name: string): Promise<void> {
  camera.stop();
  say(`${name} ...`);
  let picture: ImageBitmap;
  try {
    // As files are read for training: turned as EXIF says, colours as they are stored.
    picture = await createImageBitmap(blob, {
      imageOrientation: 'from-image',
      colorSpaceConversion: 'none',
      premultiplyAlpha: 'none',
    });
  } catch {
    throw new Error(`${name}: this browser cannot read it as a picture`);
  }
  await show(picture);
  say('');
}

function setUpControls(): void {
  opacity.addEventListener('input', () => stage.setOpacity(opacity.valueAsNumber / 100));
  border.addEventListener('input', () => stage.setBorder(border.valueAsNumber / 100));
  stage.setOpacity(opacity.valueAsNumber / 100);
  // Left of the border is the source network's side: without one there is none.
  stage.setBorder(source === undefined ? 0 : border.valueAsNumber / 100);
  if (source !== undefined) {
    stage.onDrag((share) => {
      border.valueAsNumber = 100 * share;
      stage.setBorder(share);
    });
  }
  for (const part of document.querySelectorAll<HTMLElement>('.pair')) part.hidden = source === undefined;
  found('source-name', HTMLElement).textContent = source?.label ?? '';
  found('network-name', HTMLElement).textContent = network.label;
}

function setUpFiles(): void {
  file.addEventListener('change', () => {
    const [chosen] = file.files ?? [];
    if (chosen) showFile(chosen, chosen.name).catch(sayFault);
    // The same file may be chosen again.
    file.value = '';
  });
  found('choose', HTMLButtonElement).addEventListener('click', () => file.click());
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  addEventListener('dragleave', ({ relatedTarget }) => {
    if (relatedTarget === null) document.body.classList.remove('dropping');
  });
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    const [dropped] = event.dataTransfer?.files ?? [];
    if (dropped) showFile(dropped, dropped.name).catch(sayFault);
    else say('what was dropped is no file', true);
  });
}

function setUpExamples(): void {
  const list = found('examples', HTMLElement);
  for (const { name, address } of description.examples) {
    const button = element('button', { type: 'button', title: name }, [
      element('img', { src: address, alt: `target picture ${name}`, loading: 'lazy' }),
    ]);
    button.addEventListener('click', () => {
      fetch(address)
        .then((answer) => answer.blob())
        .then((blob) => showFile(blob, name))
        .catch(sayFault);
    });
    list.append(button);
  }
  list.hidden = description.examples.length === 0;
}

function setUpCamera(): void {
  const label = () => {
    cameraButton.textContent = camera.isOn ? 'Stop the camera' : 'Camera';
  };
  cameraButton.addEventListener('click', () => {
    if (camera.isOn) {
      camera.stop();
      return;
    }
    say('');
    const running = camera.run(async (frame) => {
      label();
      await show(frame);
    });
    running.catch(sayFault).finally(label);
  });
}

setUpControls();
setUpFiles();
setUpExamples();
setUpCamera();
say('loading the networks ...');
try {
  const { device, fallback } = await networks.load(description);
  found('device', HTMLElement).textContent = [...description.said, `computed by ${device}`].join(' · ');
  say(fallback === undefined ? '' : `WebGPU failed, so wasm computes: ${fallback}`, fallback !== undefined);
  for (const control of document.querySelectorAll<HTMLButtonElement>('button')) control.disabled = false;
  document.body.dataset.state = 'ready';
} catch (error) {
  sayFault(error);
}
