// What `pgpc data map` writes: a mapping of classes, with the shares of the pixels that each has.

import { writeFile } from 'node:fs/promises';
import {
  availableSplits,
  classStatistics,
  DatasetError,
  type DatasetFormat,
  detectFormat,
  formatProposal,
  openDataset,
  type Proposal,
  type ProposedDomain,
  proposeMapping,
  type SegmentationDataset,
  trainingSplit,
  withoutSamples,
} from '@pgpc/datasets';
import type { CommandIo } from '../io.js';
import { fileProgress } from './progress.js';

interface ProposalOptions {
  readonly source: string;
  readonly target: string;
  readonly sourceFormat: DatasetFormat | undefined;
  readonly targetFormat: DatasetFormat | undefined;
  /** '-': standard output. */
  readonly out: string;
}

/** @returns what is proposed. @throws Error where the names tell fewer than two classes that both have. */
export async function showProposal(options: ProposalOptions, io: CommandIo): Promise<Proposal> {
  const source = await open(options.source, options.sourceFormat);
  const target = await open(options.target, options.targetFormat);
  for (const { root, classes } of [source, target]) {
    if (classes.length > 0) continue;
    throw new Error(
      `${root} has images alone, and no classes to map: as a target it takes the source's as they are`,
    );
  }
  const proposal = proposeMapping(source.classes, target.classes);
  const text = formatProposal(proposal, {
    source: await describe('source', source, io),
    target: await describe('target', target, io),
  });
  if (options.out === '-') io.stdout.write(text);
  else {
    // What was decided by hand is not to be lost.
    await writeFile(options.out, text, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      throw new Error(`${options.out} is there already: name another file, or remove it`);
    });
    io.stdout.write(
      `${options.out}: ${proposal.classes.length} classes, ${proposal.undecided.length} to decide\n`,
    );
  }
  if (proposal.classes.length < 2) {
    throw new Error(
      `${options.source} and ${options.target}: the names do not tell two classes that both have; write the file by hand, see the guide to datasets`,
    );
  }
  return proposal;
}

/** The split that one trains on, or else one that has labels. */
async function open(root: string, given: DatasetFormat | undefined): Promise<SegmentationDataset> {
  const format = given ?? (await detectFormat(root));
  const first = await trainingSplit(format, root);
  let opened: SegmentationDataset | undefined;
  for (const split of new Set([first, ...(await availableSplits(format, root))])) {
    // Bad files are for `data check` to name.
    const dataset = await openDataset({ format, root, split, onFault: () => {} });
    opened ??= dataset;
    if (dataset.samples.some(({ label }) => label !== undefined)) return dataset;
  }
  return opened!;
}

async function describe(role: string, dataset: SegmentationDataset, io: CommandIo): Promise<ProposedDomain> {
  const { name, root, split, classes, samples } = dataset;
  const unlabelled = samples.flatMap(({ label }, i) => (label === undefined ? [i] : []));
  const labelled = withoutSamples(dataset, new Set(unlabelled));
  const count = labelled.samples.length;
  const title = `${root} (${name}, ${split}, ${classes.length} classes, ${count === 0 ? 'no labels' : `${count} labels`})`;
  if (count === 0) return { title, shares: undefined };
  const bar = fileProgress(`count ${role}`, io);
  try {
    const { counts } = await classStatistics(labelled, { signal: io.signal, onProgress: bar.onProgress });
    bar.done();
    const totals = classes.map((_, i) => counts.reduce((sum, row) => sum + row[i]!, 0));
    const all = totals.reduce((sum, total) => sum + total, 0);
    return { title, shares: new Map(classes.map((info, i) => [info.name, all > 0 ? totals[i]! / all : 0])) };
  } catch (error) {
    if (!(error instanceof DatasetError)) throw error;
    io.stderr.write(`no shares of the ${role}: ${error.message}\n`);
    return { title, shares: undefined };
  }
}
