// What `pgpc init` asks, checks and writes.

import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, isAbsolute, join, relative } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { detectFormat, openDataset } from '@pgpc/datasets';
import { stringify } from 'yaml';
import { type AdaptEvent, prepare } from '../../comparison/adapt.js';
import type { MethodName } from '../../config/method.js';
import { UsageError } from '../../config/usage-error.js';
import { streetSynthPreset } from '../../recipes/street-synth.js';
import { shellQuoted } from '../../shell-quoted.js';
import { count } from '../command.js';
import { CONFIG_FILE } from '../config-file.js';
import type { CommandIo } from '../io.js';
import { showProposal } from './data-map.js';
import type { Tell } from './json.js';
import { openTeller } from './open-data.js';

interface Project {
  readonly folder: string;
  readonly sourceRoot: string | undefined;
  readonly targetRoot: string | undefined;
  readonly methods: readonly MethodName[];
}

/**
 * @param tell is told what is written, for JSON.
 * @throws UsageError for files that are there already, and where nobody can be asked; Error for data that is not sound, when
 *   nothing has been written but perhaps the proposed classes.
 */
export async function writeProject(project: Project, io: CommandIo, tell: Tell): Promise<void> {
  const { folder, methods } = project;
  const file = join(folder, CONFIG_FILE);
  if (existsSync(file)) throw new UsageError(`${file} is there already: edit it, or name another folder`);
  const { source, target } = await rootsOf(project, io);
  const classes = await classesFor(source, target, folder, io);
  const preset = streetSynthPreset({ seed: 1 });
  const recipe = {
    methods: [...methods],
    crop: preset.pretraining.crop.width,
    'source-steps': preset.pretraining.iterations,
    steps: preset.continuation('pgpc').iterations,
  };
  const checked = { source, target, classes, methods, set: {}, skipBad: false, seed: 1, seeds: 1 };
  const run = { out: 'runs', overwrite: false, device: 'auto' };
  await prepare({ ...checked, ...run }, { signal: io.signal, onEvent: teller(io) });
  mkdirSync(folder, { recursive: true });
  const within = (path: string) => (isAbsolute(path) ? path : relative(folder, path) || '.');
  const options = {
    'source-root': within(source),
    'target-root': within(target),
    ...(classes && { classes: basename(classes) }),
    ...recipe,
  };
  const head =
    '# Options of `pgpc adapt`, by their long names (`pgpc adapt --help`). Paths are from this folder.\n' +
    '# More steps and larger crops take longer and reach more: the run says how long before it starts.\n';
  writeFileSync(file, `${head}${stringify(options)}`, { flag: 'wx' });
  const next = folder === '.' ? 'pgpc adapt' : `cd ${shellQuoted(folder)} && pgpc adapt`;
  tell({ file, classes, options, next });
  io.stdout.write(`${file}: written\nnext: ${next}\n`);
}

async function rootsOf(
  { sourceRoot, targetRoot }: Project,
  io: CommandIo,
): Promise<{ source: string; target: string }> {
  if (sourceRoot !== undefined && targetRoot !== undefined) return { source: sourceRoot, target: targetRoot };
  if (!process.stdin.isTTY) {
    throw new UsageError('nobody can be asked here: give --source-root and --target-root');
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const ask = async (question: string) => {
    for (;;) {
      const answer = (await terminal.question(`${question}: `, { signal: io.signal })).trim();
      if (statSync(answer, { throwIfNoEntry: false })?.isDirectory()) return answer;
      io.stderr.write(`there is no folder '${answer}'\n`);
    }
  };
  try {
    return {
      source: sourceRoot ?? (await ask('Folder with labelled images (a simulator, a game, an older camera)')),
      target: targetRoot ?? (await ask('Folder with images of the camera to adapt to')),
    };
  } finally {
    terminal.close();
  }
}

/**
 * A file with the classes that both have; undefined where the source's do as they are.
 * @throws Error where the names of the classes do not tell all of it, with the file to edit.
 */
async function classesFor(
  source: string,
  target: string,
  folder: string,
  io: CommandIo,
): Promise<string | undefined> {
  const namesOf = async (root: string) => {
    const opened = await openDataset({ format: await detectFormat(root), root, onFault: () => {} });
    const isLabelled = opened.samples.some(({ label }) => label !== undefined);
    return isLabelled ? opened.classes.map(({ name }) => name) : undefined;
  };
  const [own, other] = [await namesOf(source), await namesOf(target)];
  if (own === undefined) {
    throw new Error(`${source} has no labels: the source needs them, the target does not`);
  }
  if (other === undefined || own.toSorted().join() === other.toSorted().join()) return undefined;
  const out = join(folder, 'classes.yaml');
  if (existsSync(out)) return out;
  mkdirSync(folder, { recursive: true });
  const domains = { source, target, sourceFormat: undefined, targetFormat: undefined };
  const { undecided } = await showProposal({ ...domains, out }, io);
  if (undecided.length > 0) {
    throw new Error(
      `${out}: decide at its end what becomes of ${count(undecided.length, 'class', 'classes')}, then run the same command again`,
    );
  }
  return out;
}

/** Shows what the check of the data tells. */
function teller(io: CommandIo): (event: AdaptEvent) => void {
  const showOpening = openTeller(io);
  return (event) => {
    if (event.kind === 'remark') io.stderr.write(`${event.text}\n`);
    else if (event.kind === 'data' || event.kind === 'bad-files') showOpening(event);
  };
}
