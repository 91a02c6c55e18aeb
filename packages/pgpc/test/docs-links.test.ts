// Relative links in the Markdown pages lead to files and headings that exist.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'bench/README.md',
  ...['docs', 'docs/results'].flatMap((folder) =>
    readdirSync(root + folder).flatMap((name) => (name.endsWith('.md') ? [`${folder}/${name}`] : [])),
  ),
  ...readdirSync(`${root}packages`).map((name) => `packages/${name}/README.md`),
].filter((page) => existsSync(root + page));

/** A page without its blocks of code. */
const prose = (file: string) => readFileSync(file, 'utf8').replace(/^```.*?^```/gms, '');

/** The names by which GitHub links to a page's headings. */
const headings = (file: string) =>
  [...prose(file).matchAll(/^#+ (.+)$/gm)].map(([, text]) =>
    text!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Relative links of a page that lead nowhere. */
function broken(file: string): string[] {
  const links = [...prose(file).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path, heading] = link.split('#') as [string, string?];
      const target = path ? resolve(dirname(file), path) : file;
      if (!existsSync(target)) return true;
      return heading !== undefined && target.endsWith('.md') && !headings(target).includes(heading);
    });
}

test('covers the guides and the packages', () => {
  expect(pages).toContain('docs/reading.md');
  expect(pages).toContain('packages/torch/README.md');
});

test.each(pages)('%s has no broken link', (page) => {
  expect(broken(root + page)).toEqual([]);
});
