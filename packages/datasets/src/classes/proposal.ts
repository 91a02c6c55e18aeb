// A mapping of classes for two data sets as a proposal: by names and synonyms, with the reason for each.

import type { ClassInfo } from '../types.js';
import { nameKey } from './names.js';
import { areSynonyms, commonKind, meansNoClass } from './synonyms.js';

type Side = 'source' | 'target';

/** A class of a data set. */
export interface ProposedMember {
  readonly side: Side;
  readonly name: string;
  /** Why it is where it is; undefined for what is not decided. */
  readonly why: 'same name' | 'synonym' | { readonly kind: string } | undefined;
}

/** A class for the run. */
export interface ProposedClass {
  readonly name: string;
  /** Of both data sets. */
  readonly members: readonly ProposedMember[];
}

export interface Proposal {
  /** In the target's order. */
  readonly classes: readonly ProposedClass[];
  /** Names that say that there is no class. */
  readonly ignore: readonly string[];
  /** What fits nothing, or several classes. */
  readonly undecided: readonly (ProposedMember & { readonly candidates: readonly string[] })[];
}

/** A member that is being placed; `group` is the class for the run that it is in. */
interface Placed extends ProposedMember {
  readonly order: number;
  why: ProposedMember['why'];
  group: number | undefined;
}

/**
 * Proposes classes that both data sets have. Classes of the same name go together, then words for one thing (sidewalk,
 * pavement), then what is left with the one class that is of its kind (truck with car). What fits several or none is left
 * to decide.
 */
export function proposeMapping(
  source: readonly Pick<ClassInfo, 'name'>[],
  target: readonly Pick<ClassInfo, 'name'>[],
): Proposal {
  const place =
    (side: Side) =>
    ({ name }: { name: string }, order: number): Placed => ({
      side,
      name,
      order,
      why: undefined,
      group: undefined,
    });
  const every = [...target.map(place('target')), ...source.map(place('source'))];
  const members = every.filter(({ name }) => !meansNoClass(name));
  const groups = new Groups(members);
  groups.join('same name', (a, b) => nameKey(a.name) === nameKey(b.name));
  groups.join('synonym', (a, b) => areSynonyms(a.name, b.name));
  const candidates = groups.joinKinds();
  const classes = groups.all();
  const ignored = every.filter(({ name }) => meansNoClass(name)).map(({ name }) => name);
  return {
    classes,
    ignore: ignored.filter((name, i) => ignored.findIndex((o) => nameKey(o) === nameKey(name)) === i),
    undecided: members
      .filter(({ group }) => group === undefined)
      .map(({ side, name, why }) => ({ side, name, why, candidates: candidates.get(name) ?? [] })),
  };
}

/** Members of both sides that go together. */
class Groups {
  #next = 0;

  constructor(readonly members: readonly Placed[]) {}

  /** Brings those together that belong together by `fits`, where one of the two had no place before. */
  join(why: 'same name' | 'synonym', fits: (a: Placed, b: Placed) => boolean): void {
    const free = new Set(this.members.filter(({ group }) => group === undefined));
    for (const a of this.members.filter(({ side }) => side === 'target')) {
      for (const b of this.members.filter(({ side }) => side === 'source')) {
        if ((!free.has(a) && !free.has(b)) || !fits(a, b)) continue;
        const group = a.group ?? b.group ?? this.#next++;
        // Both may have a group by now: then the two become one.
        const merged = b.group ?? group;
        for (const member of this.members) if (member.group === merged) member.group = group;
        for (const member of [a, b]) {
          member.group = group;
          member.why ??= why;
        }
      }
    }
  }

  /** Adds what is left to the one group that is of its kind. @returns the names of several by the name of the rest */
  joinKinds(): Map<string, string[]> {
    const several = new Map<string, string[]>();
    const groups = this.all();
    for (const member of this.members.filter(({ group }) => group === undefined)) {
      const related = groups.flatMap((group) => {
        const kind = group.members.map(({ name }) => commonKind(name, member.name)).find((found) => found);
        return kind === undefined ? [] : [{ ...group, kind }];
      });
      const [only] = related;
      if (related.length === 1) {
        member.group = only!.id;
        member.why = { kind: only!.kind };
      } else if (related.length > 1) {
        several.set(
          member.name,
          related.map(({ name }) => name),
        );
      }
    }
    return several;
  }

  /** In the order of the target's classes. */
  all(): (ProposedClass & { id: number })[] {
    const ids = new Set(this.members.flatMap(({ group }) => (group === undefined ? [] : [group])));
    return [...ids].map((id) => {
      const members = this.members.filter(({ group }) => group === id);
      return { id, name: nameOf(members), members };
    });
  }
}

/** The target's name, unless several of its classes are one of the source's. */
function nameOf(members: readonly Placed[]): string {
  const own = members.filter(({ why }) => typeof why !== 'object');
  const [target, source] = (['target', 'source'] as const).map((side) => own.filter((m) => m.side === side));
  const [one] = target!.length > 1 && source!.length === 1 ? source! : target!;
  return (target!.find(({ why }) => why === 'same name') ?? one)!.name;
}
