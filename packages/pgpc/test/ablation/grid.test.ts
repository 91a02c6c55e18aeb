// Sweeps of one's own: the combinations, what they are called, what is refused, and `pgpc sweep` around them.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type GridOptions, gridSweep } from '../../src/ablation/grid.js';
import { plan } from '../../src/ablation/plan.js';
import { main } from '../../src/cli/main.js';

const program = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpc-grid-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const of = (grid: GridOptions['grid'], name?: string) => gridSweep({ grid, method: 'pgpc', name });

/** The runs of a grid, with random weights, so that nothing is read. */
const runsOf = (grid: GridOptions['grid'], seeds = [1]) => {
  const { sweep, set } = of(grid);
  return plan(sweep, { out: join(folder, 'none'), scale: 'quick', seeds, set, weights: 'none' });
};

describe('a grid', () => {
  test('has every combination, the last values changing fastest, and differences to the first', () => {
    const { sweep, set } = of({
      'method.contrast.rank': [2, 4],
      batch: [3],
      'method.contrast.bankCapacity': [500, 1000, 2000],
    });
    expect(sweep.cells.map(({ label }) => label)).toEqual(
      [2, 4].flatMap((rank) => [500, 1000, 2000].map((k) => `rank = ${rank}, bankCapacity = ${k}`)),
    );
    expect(sweep.cells.map(({ name }) => name).slice(0, 2)).toEqual([
      'rank-2-bank-capacity-500',
      'rank-2-bank-capacity-1000',
    ]);
    expect(sweep).toMatchObject({ name: 'pgpc-rank-bank-capacity', reference: 'rank-2-bank-capacity-500' });
    expect(set).toEqual({ batch: 3 });
  });

  test('trains what the values say, all from one source network a seed', () => {
    const ranks = [2, 4, 8];
    const runs = runsOf({ 'method.contrast.rank': ranks, batch: [3] }, [1, 2]);
    const sources = runs.filter(({ cell }) => cell === undefined);
    expect(sources.map(({ seed }) => seed)).toEqual([1, 2]);
    for (const seed of [1, 2]) {
      const cells = runs.filter((run) => run.seed === seed && run.cell);
      expect(cells.map(({ experiment }) => experiment.method.contrast!.rank)).toEqual(ranks);
      expect(new Set(cells.map(({ after }) => after))).toEqual(new Set([sources[seed - 1]]));
      for (const { experiment } of cells) expect([experiment.seed, experiment.batch]).toEqual([seed, 3]);
    }
  });

  test('has the run of a value that another grid, or a table of the paper, has too', () => {
    const key = (grid: GridOptions['grid'], label: string) =>
      runsOf(grid).find(({ cell }) => cell?.label === label)!;
    const alone = key({ 'method.contrast.rank': [2, 3] }, 'rank = 3');
    const more = key({ 'method.contrast.rank': [8, 4, 3] }, 'rank = 3');
    expect(more.key).toBe(alone.key);
    // As `pgpc ablate rank` has it.
    expect(alone.key).toBe('44fbaecf0108');
    expect(key({ 'method.contrast.rank': [8, 4] }, 'rank = 4').name).toBe('pgpc');
  });

  test('takes whole parts, and none', () => {
    const fda = { kind: 'fda', beta: 0.05, image: true, features: false };
    const { sweep } = of({ 'method.style': [null, fda] });
    expect(sweep.cells.map(({ name, label }) => [name, label])).toEqual([
      ['style-none', 'style = none'],
      ['style-fda', `style = ${JSON.stringify(fda)}`],
    ]);
    // Two of a kind need other names.
    const two = of({ 'method.style': [fda, { ...fda, beta: 0.1 }] }).sweep.cells;
    expect(two.map(({ name }) => name)).toEqual(['c1', 'c2']);
  });

  test('tells options with the same last name apart', () => {
    const { sweep } = of({ 'method.contrast.weight': [0.1, 1], 'method.selfTraining.weight': [1, 2] });
    expect(sweep.cells[0]).toMatchObject({
      name: 'contrast.weight-0.1-self-training.weight-1',
      label: 'contrast.weight = 0.1, selfTraining.weight = 1',
    });
    expect(sweep.title).toBe('pgpc by contrast.weight and selfTraining.weight');
  });

  test('has as many cells as the product of its lists, with names of their own that are folders', () => {
    const values = fc.uniqueArray(fc.oneof(fc.integer(), fc.double({ noNaN: true }), fc.string()), {
      minLength: 2,
      maxLength: 8,
      selector: (value) => JSON.stringify(value),
    });
    fc.assert(
      fc.property(values, values, (ranks, temperatures) => {
        const { cells } = of({
          'method.contrast.rank': ranks,
          'method.contrast.temperature': temperatures,
        }).sweep;
        expect(cells).toHaveLength(ranks.length * temperatures.length);
        expect(new Set(cells.map(({ name }) => name)).size).toBe(cells.length);
        for (const { name } of cells) expect(name).toMatch(/^[a-z0-9.-]{1,100}$/);
        expect(new Set(cells.map(({ settings }) => JSON.stringify(settings))).size).toBe(cells.length);
      }),
    );
  });

  test.each([
    [{ 'method.contrast.rnk': [1, 2] }, /method\.contrast has no 'rnk' \(did you mean 'rank'\?\)/],
    [{ 'method.contrast.rank': [2] }, /needs several values .*; a training with one .*`pgpc adapt --set`$/],
    [{}, /needs several values/],
    [{ 'method.contrast.rank': [2, 3, 2] }, /--set method\.contrast\.rank: 2 is there twice$/],
    [{ seed: [1, 2] }, /--set seed: a sweep counts its seeds by --seed and --seeds$/],
    [
      { 'segmentor.backbone': ['mit_b0', 'mit_b1'] },
      /segmentor\.backbone: all combinations start from the same source network/,
    ],
    [
      { 'method.style.beta': [0.1], 'method.style': [null, { kind: 'fda', beta: 0.1 }] },
      /--set method\.style\.beta: method\.style is set as a whole after it/,
    ],
    [
      {
        'method.contrast.rank': [2, 3, 4, 5, 6],
        'method.contrast.width': Array.from({ length: 13 }, (_, i) => i),
      },
      /5 x 13 values make 65 combinations; at most 64 are run$/,
    ],
  ])('is refused, %j', (grid, message) => {
    expect(() => of(grid)).toThrow(message);
  });

  test.each(['rank', 'seed1'])('is not called %s, as another folder is', (name) => {
    const grid = { 'method.contrast.rank': [2, 3] };
    expect(() => of(grid, name)).toThrow(`a sweep cannot be called ${name}`);
    expect(of(grid, `${name}s`).sweep.name).toBe(`${name}s`);
  });
});

describe('the command line', () => {
  async function run(args: readonly string[]) {
    let err = '';
    const sink = () =>
      new Writable({
        write(chunk, _encoding, done) {
          err += chunk;
          done();
        },
      });
    let options: unknown;
    const handlers = {
      sweep: async (given: unknown) => {
        options = given;
      },
    };
    const { signal } = new AbortController();
    const code = await main(['sweep', ...args], {
      stdout: sink(),
      stderr: sink(),
      handlers,
      signal,
      env: {},
    });
    return { code, err, options };
  }

  test('reads lists, in which JSON keeps its commas', async () => {
    const { options } = await run([
      '--set',
      'method.contrast.rank=2, 4,8',
      '--set',
      'method.style=null,{"kind":"fda","beta":0.05},{"kind":"dcan","image":[1,2]}',
      '--set',
      'method.contrast.type=hybrid,"a,b"',
      '--seeds',
      '2',
      '--quick',
    ]);
    expect(options).toEqual({
      grid: {
        'method.contrast.rank': [2, 4, 8],
        'method.style': [null, { kind: 'fda', beta: 0.05 }, { kind: 'dcan', image: [1, 2] }],
        'method.contrast.type': ['hybrid', 'a,b'],
      },
      method: 'pgpc-plus',
      name: undefined,
      out: 'runs/ablations',
      domains: undefined,
      scale: 'quick',
      seeds: 2,
      seed: 1,
      device: 'auto',
      checkpoints: true,
    });
  });

  test.each([
    [[], /required option '--set <values>' not specified/],
    [['--set', 'a'], /--set 'a': must be KEY=VALUE/],
    [['--set', 'batch='], /--set 'batch=': a value is missing; a list is such as 2,4,8$/],
    [['--set', 'batch=1,,2'], /a value is missing/],
    [['--set', 'method.style={"kind":1,2'], /\{"kind":1,2 is not JSON$/],
    [['--set', 'batch=1,2', '--set', 'batch=3,4'], /batch is given twice; all its values go into one --set$/],
    [
      ['--set', 'batch=1,2', '--method', 'pgcp'],
      /--method 'pgcp': must be one of .* \(did you mean 'pgpc'\?\)$/,
    ],
    [['--set', 'batch=1,2', '--source-root', '.'], /data of your own needs both/],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await run(args);
    expect(code).toBe(2);
    expect(err.trimEnd()).toMatch(message);
  });
});

test('pgpc sweep trains the combinations, and afterwards only what is new', () => {
  const sweep = (values: string, ...more: string[]) =>
    spawnSync(
      process.execPath,
      [
        program,
        ...'sweep --quick --seeds 1 --source-steps 10 --steps 10 --no-checkpoints --method self-training'.split(
          ' ',
        ),
        '--set',
        `method.selfTraining.alpha=${values}`,
        ...more,
      ],
      { cwd: folder, encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1' } },
    );
  const first = sweep('0.9,0.99');
  expect([first.status, first.stdout]).toEqual([
    0,
    expect.stringMatching(/^alpha = 0\.9 +1 +\d.*\nalpha = 0\.99 +1 +\d+\.\d +[+−]?\d+\.\d/m),
  ]);
  expect(first.stdout).toContain('to alpha = 0.9');
  const table = join(folder, 'runs/ablations/self-training-alpha');
  expect(readdirSync(table)).toContain('index.html');
  const more = sweep('0.9,0.99,0.5', '--json');
  expect(more.status).toBe(0);
  expect(more.stderr).toContain('self-training by alpha: 3 runs, 2 of them finished before');
  const { outcome, folder: place, rows } = JSON.parse(more.stdout);
  expect([outcome, place]).toEqual(['finished', 'runs/ablations/self-training-alpha']);
  expect(rows.map(({ label }: { label: string }) => label)).toEqual(
    ['0.9', '0.99', '0.5'].map((alpha) => `alpha = ${alpha}`),
  );
  expect(more.stderr).toContain('seed1/self-training-alpha-alpha-0.5');
  expect(more.stderr).not.toContain('seed1/source');
  expect(readFileSync(join(table, 'table.md'), 'utf8')).toMatch(/^\| alpha = 0\.5 \| 1 \|/m);
}, 360_000);
