// Bundles the dashboard's page, so that whoever installs pgpc has no build to do. After `tsc -b`: the look is the report's.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'packages/pgpc/page');
const target = join(source, 'dist');
const modules = join(root, 'node_modules');

const bundle = await rolldown({
  // The maps are computed beside the page.
  input: { page: join(source, 'src/main.tsx'), 'map-worker': join(source, 'src/map-worker.ts') },
  platform: 'browser',
  tsconfig: join(source, 'tsconfig.json'),
  resolve: { extensionAlias: { '.js': ['.ts', '.tsx', '.js'] } },
  onwarn: (warning) => {
    throw new Error(warning.message);
  },
});
await bundle.write({ dir: target, entryFileNames: '[name].js', format: 'es', minify: true });
await bundle.close();

const { BASE_STYLE } = await import('../packages/pgpc/dist/report/style.js');
const styles = [
  BASE_STYLE,
  readFileSync(join(modules, 'uplot/dist/uPlot.min.css'), 'utf8'),
  readFileSync(join(source, 'page.css'), 'utf8'),
];
mkdirSync(target, { recursive: true });
writeFileSync(join(target, 'page.css'), styles.join('\n'));
writeFileSync(join(target, 'index.html'), readFileSync(join(source, 'index.html')));
const bundled = [
  'preact',
  'uplot',
  'umap-js',
  'ml-levenberg-marquardt',
  'ml-pca',
  'ml-matrix',
  'ml-array-rescale',
  'ml-array-max',
  'ml-array-min',
  'is-any-array',
];
const licences = bundled.map(
  (name) => `${name}\n\n${readFileSync(join(modules, name, 'LICENSE'), 'utf8').trim()}\n`,
);
writeFileSync(join(target, 'LICENSES.txt'), licences.join('\n\n'));
