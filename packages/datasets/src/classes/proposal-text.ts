// A proposed mapping of classes as the text of its file, with the reasons as comments.

import { nameKey } from './names.js';
import type { Proposal, ProposedClass, ProposedMember } from './proposal.js';

/** Share of the labelled pixels by the name of the class; undefined where they were not counted. */
export type Shares = ReadonlyMap<string, number> | undefined;

/** What the proposal is made of. */
export interface ProposedDomain {
  /** Where it is and what, for the heading. */
  readonly title: string;
  readonly shares: Shares;
}

/** The classes of a proposal as YAML, one text each: `road`, or `{ name: pavement, from: [sidewalk] }`. */
export function proposedEntries({ classes }: Proposal): string[] {
  return classes.map((proposed) => {
    const from = takenIn(proposed).map(({ name }) => scalar(name));
    return from.length === 0
      ? scalar(proposed.name)
      : `{ name: ${scalar(proposed.name)}, from: [${from.join(', ')}] }`;
  });
}

/** The file, which `readMappingFile` reads. What is not decided is a comment at its end. */
export function formatProposal(
  proposal: Proposal,
  { source, target }: { readonly source: ProposedDomain; readonly target: ProposedDomain },
): string {
  const { classes, ignore, undecided } = proposal;
  const sharesOf = { source: source.shares, target: target.shares };
  const sizeOf = ({ side, name }: ProposedMember) => sharesOf[side]?.get(name) ?? 0;
  const share = (member: ProposedMember) => {
    const value = sharesOf[member.side]?.get(member.name);
    return value === undefined ? undefined : `${(100 * value).toFixed(value < 0.001 ? 3 : 1)} %`;
  };
  const entries = proposedEntries(proposal).map((entry) => `  - ${entry}`);
  const width = Math.max(0, ...entries.map(({ length }) => length));
  const lines = entries.map((entry, i) => `${entry.padEnd(width)}  # ${reasons(classes[i]!, share)}`);
  return [
    '# A proposal by names: check each line. Shares are of the labelled pixels.',
    `# source: ${source.title}`,
    `# target: ${target.title}`,
    lines.length > 0 ? 'classes:' : 'classes: []  # no class has the same name, or another word for it',
    ...lines,
    `ignore: [${ignore.map(scalar).join(', ')}]`,
    ...(undecided.length === 0
      ? []
      : [
          "# Not decided, and refused until it is: add each to a class's from, or to ignore (or write ignore: rest).",
          // What covers much is to be looked at first.
          ...undecided
            .toSorted((a, b) => sizeOf(b) - sizeOf(a))
            .map((member) => {
              const { side, name, candidates } = member;
              const known = share(member);
              const hint = candidates.length > 0 ? `, of the kind of ${candidates.join(', ')}` : '';
              return `#   ${scalar(name)}  (${side}${known ? `, ${known}` : ''}${hint})`;
            }),
        ]),
    '',
  ].join('\n');
}

/** The names that have to be written: all but the class's own. */
function takenIn({ name, members }: ProposedClass): ProposedMember[] {
  const seen = new Set([nameKey(name)]);
  return members.filter((member) => {
    const key = nameKey(member.name);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function reasons(proposed: ProposedClass, share: (member: ProposedMember) => string | undefined): string {
  const own = proposed.members.filter(({ name }) => nameKey(name) === nameKey(proposed.name));
  const words = new Map<string, string[]>();
  for (const { name, why } of takenIn(proposed)) {
    const reason = typeof why === 'object' ? `${why.kind} too, check` : 'a word for it';
    words.set(reason, [...(words.get(reason) ?? []), name]);
  }
  const sides = (['source', 'target'] as const).flatMap((side) => {
    const shares = proposed.members.flatMap((member) => (member.side === side && share(member)) || []);
    return shares.length === 0 ? [] : [`${side} ${shares.join(' + ')}`];
  });
  return [
    ...(new Set(own.map(({ side }) => side)).size === 2 ? ['same name'] : []),
    ...Array.from(words, ([reason, names]) => `${names.join(', ')}: ${reason}`),
    ...sides,
  ].join('; ');
}

/** A name as YAML takes it, in quotes where it must be. */
function scalar(name: string): string {
  const plain = /^\p{L}[\p{L}\p{N} _./-]*$/u.test(name) && name === name.trim();
  return plain && !/^(true|false|null|yes|no|on|off)$/i.test(name) ? name : JSON.stringify(name);
}
