// The frame of every page: one file, with everything in it.

import { type Html, html } from './html.js';
import { STYLE } from './style.js';

/** @param body of the page's main part. @returns the text of the file */
export function page(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`.toString();
}
