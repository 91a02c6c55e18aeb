// Parts of a report that every method has one of: the foremost method's in sight, the others' to be opened.

import { type Html, html } from './html.js';
import { foremost, type MethodSummary } from './methods.js';

/** What a report says of one method. */
export interface MethodPart {
  readonly name: string;
  readonly label: string;
  readonly part: Html;
}

export function foremostFirst(parts: readonly MethodPart[], methods: readonly MethodSummary[]): Html[] {
  const first = parts.find(({ name }) => name === foremost(methods)?.name) ?? parts[0];
  const others = parts.filter((one) => one !== first);
  return [
    ...(first ? [first.part] : []),
    ...others.map(
      ({ label, part }) => html`<details><summary>${label}</summary>
${part}
</details>`,
    ),
  ];
}
