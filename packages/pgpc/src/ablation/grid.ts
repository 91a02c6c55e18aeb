// A sweep of one's own: a method with every combination of the values of some options.

import type { MethodName } from '../config/method.js';
import { checkKey, type Settings } from '../config/settings.js';
import { UsageError } from '../config/usage-error.js';
import { sweepNames } from './names.js';
import type { Cell, Sweep } from './sweeps.js';

/** Values by dotted key; one value of a key holds in all combinations. */
export type Grid = Readonly<Record<string, readonly unknown[]>>;

export interface GridOptions {
  readonly grid: Grid;
  readonly method: MethodName;
  /** Of the sweep's folder; left out: the method and the options that differ. */
  readonly name?: string | undefined;
}

/** More than these are a mistake, or a search, which needs other means. */
const MOST_CELLS = 64;

/** Letters of a folder's name, with room for a key. */
const LONGEST_NAME = 100;

/** What decides whether a cell can start from the source network that all share. */
const NETWORK = [
  'segmentor',
  ...['backbone', 'head', 'channels', 'classes'].map((key) => `segmentor.${key}`),
];

/**
 * The sweep whose cells are all combinations, the last key's values changing fastest, with differences to the first.
 * @returns the sweep, and the settings that hold in every cell, as `PlanOptions.set`.
 * @throws UsageError for a key that no experiment has, or that cannot differ between cells with one source network; for
 *   values that are no list or twice in one; for one combination, or more than 64; for a name that is taken.
 */
export function gridSweep({ grid, method, name: given }: GridOptions): { sweep: Sweep; set: Settings } {
  const swept = Object.keys(grid).filter((key) => grid[key]!.length > 1);
  const fixed = Object.keys(grid).filter((key) => !swept.includes(key));
  refuseKeys(grid, swept, fixed);
  const count = swept.reduce((product, key) => product * grid[key]!.length, 1);
  if (count > MOST_CELLS) {
    const factors = swept.map((key) => grid[key]!.length).join(' x ');
    throw new UsageError(
      `--set: ${factors} values make ${count} combinations; at most ${MOST_CELLS} are run`,
    );
  }
  const shorts = new Map(swept.map((key) => [key, shortest(key, swept)]));
  const combinations = swept.reduce<readonly Settings[]>(
    (before, key) => before.flatMap((one) => grid[key]!.map((value) => ({ ...one, [key]: value }))),
    [{}],
  );
  const names = combinations.map((settings) =>
    Object.entries(settings)
      .map(([key, value]) => `${slug(shorts.get(key)!)}-${slug(word(value))}`)
      .join('-'),
  );
  const readable = new Set(names).size === count && names.every((name) => name.length <= LONGEST_NAME);
  const cells = combinations.map(
    (settings, i): Cell => ({
      name: readable ? names[i]! : `c${i + 1}`,
      label: Object.entries(settings)
        .map(([key, value]) => `${shorts.get(key)} = ${shown(value)}`)
        .join(', '),
      method,
      settings,
    }),
  );
  const lists = swept.map((key) => `${key} (${grid[key]!.map(shown).join(', ')})`);
  const sweep: Sweep = {
    name: checkedName(given ?? [method, ...shorts.values()].map(slug).join('-')),
    title: `${method} by ${[...shorts.values()].join(' and ')}`,
    description:
      `${method} with ${swept.length > 1 ? 'every combination' : 'each value'} of ${lists.join(' and ')}, ` +
      'from the same source network.',
    reference: cells[0]!.name,
    cells,
  };
  return { sweep, set: Object.fromEntries(fixed.map((key) => [key, grid[key]![0]])) };
}

function refuseKeys(grid: Grid, swept: readonly string[], fixed: readonly string[]): void {
  for (const [key, values] of Object.entries(grid)) {
    try {
      checkKey(key);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
    if (key === 'seed') throw new UsageError('--set seed: a sweep counts its seeds by --seed and --seeds');
    const texts = values.map((value) => JSON.stringify(value));
    const twice = texts.find((text, i) => texts.indexOf(text) !== i);
    if (twice !== undefined) throw new UsageError(`--set ${key}: ${twice} is there twice`);
  }
  if (swept.length === 0) {
    throw new UsageError(
      'a sweep needs several values of an option, with commas between them, such as --set method.contrast.rank=2,4,8; ' +
        'a training with one value of each is that of `pgpc adapt --set`',
    );
  }
  const network = swept.find((key) => NETWORK.includes(key));
  if (network !== undefined) {
    throw new UsageError(
      `--set ${network}: all combinations start from the same source network; run one sweep for each network`,
    );
  }
  // A part as a whole takes the place of what was set in it before.
  const order = [...fixed, ...swept];
  for (const [i, key] of order.entries()) {
    const whole = order.slice(i + 1).find((later) => key.startsWith(`${later}.`));
    if (whole === undefined) continue;
    throw new UsageError(
      `--set ${key}: ${whole} is set as a whole after it; set it in the values of ${whole}`,
    );
  }
}

/** @throws UsageError for a name that is another sweep's, or that of a folder of runs. */
function checkedName(name: string): string {
  const taken = (sweepNames as readonly string[]).includes(name) || /^seed\d+$/.test(name);
  if (taken)
    throw new UsageError(
      `a sweep cannot be called ${name}: pgpc ablate has a folder of this name; give --name`,
    );
  if (name.length <= LONGEST_NAME) return name;
  throw new UsageError(`${name} is too long for a folder's name: give the sweep another by --name`);
}

/** The end of a key that no other of them has. */
function shortest(key: string, all: readonly string[]): string {
  const path = key.split('.');
  const ends = path.map((_, i) => path.slice(path.length - 1 - i).join('.'));
  return ends.find((end) => all.filter((other) => `.${other}`.endsWith(`.${end}`)).length === 1)!;
}

/** A value as tables show it. */
function shown(value: unknown): string {
  if (value === null) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A value in short, for names. */
function word(value: unknown): string {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  return typeof kind === 'string' ? kind : shown(value);
}

/** Lower case, digits, dots and hyphens: `bankCapacity` is `bank-capacity`. */
function slug(text: string): string {
  return text
    .replace(/(?<=[a-z])(?=[A-Z])/g, '-')
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^-|-$/g, '');
}
