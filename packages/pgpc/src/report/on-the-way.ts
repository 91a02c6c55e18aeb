// What trainings made of the target images at their checkpoints, in a run's report: of each method a group, one step at a time.

import type { Run } from '../training/run-directory/open-run.js';
import type { PictureIndex } from '../training/run-directory/schema.js';
import { type PictureContent, pictureOf } from './embedded.js';
import { foremostFirst, type MethodPart } from './foremost-first.js';
import { type Html, html } from './html.js';
import type { MethodSummary } from './methods.js';
import { STEPS_SHOWN } from './style.js';

/** In the order that they are shown in. */
const KINDS: Readonly<Record<string, string>> = {
  prediction: 'Prediction',
  right: 'Wrong in black',
  'pseudo-label': 'Pseudo-label',
  confidence: "Teacher's confidence, white is sure",
  entropy: "Teacher's entropy, white is unsure",
  anchors: 'Anchors of the contrast',
};

/** There are many of these pictures, several beside one another, and the photograph is in every group. */
const WIDTHS: Readonly<Record<PictureContent, number>> = { labels: 384, photo: 240 };

type Target = PictureIndex['target'][number];

/** The checkpoints of one training. */
interface Way {
  /** Undefined: the run has one training. */
  readonly method: string | undefined;
  /** Undefined: the run has one. */
  readonly seed: number | undefined;
}

/** The groups with the pictures in them; undefined where the run has none. */
export async function onTheWay(
  run: Run,
  targets: readonly Target[],
  methods: readonly MethodSummary[],
): Promise<Html | undefined> {
  const ways = waysOf(targets, methods);
  if (ways.length === 0) return undefined;
  const parts: MethodPart[] = [];
  for (const [i, { method, seed }] of ways.entries()) {
    const label = methods.find(({ name }) => name === method)?.label ?? method ?? '';
    const heading = `${label}${seed === undefined ? '' : ` with seed ${seed}`}`;
    const pictures = await group(run, targets, method, `way-${i}`);
    const part = html`${heading && html`<h4>${heading}</h4>`}
${pictures}`;
    parts.push({ name: method ?? '', label, part });
  }
  return html`<h3>Target images over ${ways.length > 1 ? 'each' : 'the'} training</h3>
${foremostFirst(parts, methods)}`;
}

/** In the order of the table of results; what has no result yet comes last. */
function waysOf(targets: readonly Target[], methods: readonly MethodSummary[]): Way[] {
  const ways = new Map<string | undefined, Way>();
  for (const { checkpoints = [] } of targets) {
    for (const { method, seed } of checkpoints) if (!ways.has(method)) ways.set(method, { method, seed });
  }
  const order: (string | undefined)[] = [...methods.map(({ name }) => name), ...ways.keys()];
  return [...ways.values()].sort((a, b) => order.indexOf(a.method) - order.indexOf(b.method));
}

/** @param id tells the group's fields from other groups'. */
async function group(
  run: Run,
  targets: readonly Target[],
  method: string | undefined,
  id: string,
): Promise<Html> {
  const ownOf = ({ checkpoints = [] }: Target) => checkpoints.filter((one) => one.method === method);
  const taken = targets.flatMap((target) => ownOf(target).map(({ iteration }) => iteration));
  const steps = [...new Set(taken)].sort((a, b) => a - b).slice(-STEPS_SHOWN);
  const picture = async (file: string, kind: PictureContent, caption: string, at = '', alt = caption) => {
    const body = await pictureOf(run, file, kind, { alt, mostWidth: WIDTHS[kind] });
    return html`<figure${at && html` class="at ${at}"`}>${body}<figcaption>${caption}</figcaption></figure>`;
  };
  const rows: Html[] = [];
  for (const target of targets) {
    const own = ownOf(target);
    if (own.length === 0) continue;
    const figures = [await picture(target.image, 'photo', target.id)];
    let columns = 1;
    for (const { iteration, pictures } of own) {
      const step = steps.indexOf(iteration) + 1;
      const kinds = Object.entries(KINDS).filter(([kind]) => pictures[kind] !== undefined);
      if (step === 0) continue;
      columns = Math.max(columns, 1 + kinds.length);
      for (const [kind, caption] of kinds) {
        const alt = `${caption}, ${stepInWords(iteration)}`;
        figures.push(await picture(pictures[kind]!, 'labels', caption, `at-${step}`, alt));
      }
    }
    rows.push(html`<div class="sample" style="--columns:${columns}">${figures}</div>
`);
  }
  const choices = steps.map(
    (step, i) =>
      html`<input type="radio" name="${id}" id="${id}-${i}"${i === steps.length - 1 && html` checked`}><label for="${id}-${i}">${stepInWords(step)}</label>
`,
  );
  return html`<div class="way">
${choices}${rows}</div>`;
}

const stepInWords = (iteration: number) => `step ${iteration.toLocaleString('en-US')}`;
