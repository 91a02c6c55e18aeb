// The look of report and dashboard: one style sheet, light and dark, from phone to wide screen, no request to anywhere.

import { html } from './html.js';

/** What both have: colours, type, tables, keys. */
export const BASE_STYLE = html`
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --panel: #ffffff; --ink: #1d2023; --soft: #63696f; --line: #e3e4e2; --grid: #ececea;
  --baseline: #9aa0a6; --method-1: #3d7dca; --method-2: #d9622b; --method-3: #7a5bb5; --method-4: #2e8f6f;
  --method-5: #b9860b; --method-6: #c2478c; --method-7: #1f8a9c; --method-8: #6f7d1f;
  --oracle: #4a4f55; --heat: #7fb0ea; --good: #1d7a4b; --bad: #b3362b; --warn: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --panel: #1c1f23; --ink: #e4e6e8; --soft: #9ba1a8; --line: #2f343a; --grid: #2a2e33;
    --baseline: #767d85; --method-1: #6ba4ea; --method-2: #f08a54; --method-3: #a98be0; --method-4: #56bf99;
    --method-5: #d9b13b; --method-6: #ea82ba; --method-7: #4fc0d0; --method-8: #a9b84a;
    --oracle: #c9cdd2; --heat: #2b62aa; --good: #5cc48d; --bad: #ef7b70; --warn: #e0b050;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif;
  font-variant-numeric: tabular-nums;
}
p { margin: 0 0 8px; max-width: 78ch; }
.muted { color: var(--soft); font-weight: 400; }
.notice { border-left: 3px solid var(--warn); padding: 6px 12px; background: var(--panel); max-width: 78ch; overflow-wrap: anywhere; }
.notice.failed { border-color: var(--bad); }
.warning { color: var(--warn); font-size: 13px; margin: 2px 0 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 6px 14px 6px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--soft); font-size: 13px; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
tbody th { color: var(--ink); font-size: inherit; font-weight: 400; }
.gain { color: var(--good); }
.loss { color: var(--bad); }
i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 7px; flex: none; box-shadow: 0 0 0 1px var(--line); }
figure { margin: 0; }
.key { font-size: 13px; margin: 4px 0 0; display: flex; flex-wrap: wrap; gap: 2px 16px; max-width: none; align-items: center; }
.key span { display: inline-flex; align-items: center; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 0; margin: 0 0 18px; list-style: none; font-size: 13px; }
.legend li { display: inline-flex; align-items: center; }
.legend i { width: 14px; height: 14px; }
dl { margin: 0; display: grid; grid-template-columns: minmax(120px, auto) minmax(0, 1fr); gap: 3px 18px; font-size: 14px; align-content: start; }
dt { color: var(--soft); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: 10px 14px; overflow-x: auto; font: 13px/1.5 ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace; }
summary { cursor: pointer; color: var(--soft); }
`;

/** Steps of a training that its pictures can be chosen by. */
export const STEPS_SHOWN = 12;

/** Contents of the report's style element. */
export const STYLE = html`${BASE_STYLE}
main { max-width: 1240px; margin: 0 auto; padding: 40px 32px 64px; }
header { margin-bottom: 28px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 10px; font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 44px 0 12px; font-weight: 650; }
h3 { font-size: 13px; margin: 20px 0 8px; font-weight: 600; color: var(--soft); }
.lede { font-size: 17px; }
.facts { color: var(--soft); font-size: 13px; }
table.headline { width: 100%; max-width: 860px; }
table.headline td.score { font-size: 20px; font-weight: 650; }
table.headline td { padding-top: 9px; padding-bottom: 9px; }
tr.oracle td { color: var(--soft); }
.per-class { display: grid; grid-template-columns: minmax(0, auto) minmax(0, 1fr); gap: 28px 48px; align-items: start; }
.per-class td, .per-class th { padding-top: 3px; padding-bottom: 3px; font-size: 14px; }
.per-class .facts { width: 0; min-width: 100%; margin-top: 6px; }
.per-class tfoot td { border-bottom: 0; border-top: 1px solid var(--soft); font-weight: 600; }
.bars .key { margin: 0 0 8px; }
.bar-rows { display: grid; grid-template-columns: auto minmax(0, 1fr); column-gap: 12px; align-items: center; }
.bar-rows svg { display: block; }
.bar-label { font-size: 13px; white-space: nowrap; display: inline-flex; align-items: center; }
.grid { stroke: var(--grid); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 28px 36px; }
.chart figcaption { font-size: 14px; margin-bottom: 12px; }
.plot { display: grid; grid-template-columns: 44px minmax(0, 1fr); grid-template-rows: 170px 20px; }
.plot svg { width: 100%; height: 100%; display: block; overflow: hidden; border-bottom: 1px solid var(--line); }
.y-axis, .x-axis { position: relative; font-size: 12px; color: var(--soft); }
.y-axis span { position: absolute; right: 8px; transform: translateY(-50%); }
.x-axis { grid-column: 2; height: 20px; }
.x-axis span { position: absolute; top: 3px; transform: translateX(-50%); }
.x-axis span:first-child { transform: none; }
.x-axis span[style='left:100%'], .x-axis span[style='left:100%;'] { transform: translateX(-100%); }
.chart .key { margin-left: 44px; }
.line, .raw { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round; }
.line { stroke-width: 1.8; }
.raw { stroke-width: 1; opacity: 0.28; }
.sample { display: grid; gap: 10px; margin-bottom: 18px; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); max-width: calc(var(--columns) * 300px); }
.sample img { width: 100%; display: block; border-radius: 3px; background: var(--line); }
.sample figcaption { font-size: 12px; color: var(--soft); margin-top: 2px; overflow-wrap: anywhere; }
h4 { font-size: 14px; margin: 14px 0 8px; font-weight: 600; }
.way > input { position: absolute; opacity: 0; pointer-events: none; }
.way > label { display: inline-block; padding: 3px 10px; margin: 0 6px 12px 0; border: 1px solid var(--line); border-radius: 4px; font-size: 13px; color: var(--soft); background: var(--panel); cursor: pointer; }
.way > :checked + label { color: var(--ink); border-color: var(--soft); font-weight: 600; }
.way > :focus-visible + label { outline: 2px solid var(--method-1); outline-offset: 1px; }
.way .at { display: none; }
${Array.from(
  { length: STEPS_SHOWN },
  (_, i) => html`.way > input:nth-of-type(${i + 1}):checked ~ .sample > .at-${i + 1} { display: block; }
`,
)}.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 0 24px; }
.missing { display: grid; place-items: center; aspect-ratio: 2; border: 1px dashed var(--line); border-radius: 3px; font-size: 12px; color: var(--soft); }
.details { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); gap: 8px 48px; }
.confusion th:first-child { position: sticky; left: 0; background: var(--page); padding-right: 10px; }
.confusion td, .confusion th { padding: 4px 5px; font-size: 13px; border: 1px solid var(--page); }
.confusion td { min-width: 30px; text-align: center; background: color-mix(in srgb, var(--heat) var(--heat-share, 0%), var(--panel)); }
.confusion td.right { box-shadow: inset 0 0 0 1px var(--soft); }
.confusion td.none { color: var(--soft); text-align: left; }
.confusion td:last-child { color: var(--soft); padding-left: 12px; }
.confusion thead th span { writing-mode: vertical-rl; transform: rotate(180deg); }
.mistakes td:last-child { text-align: left; }
.class-curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 170px), 1fr)); gap: 18px 22px; margin-top: 12px; }
.class-curves figcaption { display: flex; justify-content: space-between; font-size: 13px; margin-bottom: 4px; gap: 8px; }
.class-curves svg { width: 100%; height: 70px; display: block; overflow: visible; }
.dot { fill: none; vector-effect: non-scaling-stroke; stroke-linecap: round; stroke-width: 5; }
.worst { list-style: none; padding: 0; margin: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 14px 28px; }
.worst h3 { margin: 8px 0 6px; overflow-wrap: anywhere; }
.thumbs { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 6px; }
.thumbs img { width: 100%; display: block; border-radius: 3px; background: var(--line); }
.thumbs figcaption { font-size: 12px; color: var(--soft); }
details { margin-top: 16px; }
details dl { margin-top: 12px; column-gap: 24px; }
@media (max-width: 900px) {
  main { padding: 24px 16px 48px; }
  .per-class { grid-template-columns: minmax(0, 1fr); }
  .sample { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  h1 { font-size: 23px; }
  .lede { font-size: 16px; }
}
@media (max-width: 480px) {
  th, td { padding-right: 10px; }
  table.headline td.score { font-size: 17px; }
}
@media print { .sample, .chart { break-inside: avoid; } }
`;
