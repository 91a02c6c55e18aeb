// Tables, apart from lib.mjs: that loads the bridge, which bench/gpu-check.mjs builds first.

/** A table in Markdown, numbers to the right of the first column. */
export function markdown(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
