// The command line: help, refusals, exit codes and what reaches the library; then the built program as a process.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandIo } from '../../src/cli/io.js';
import { type Handlers, main } from '../../src/cli/main.js';
import { iouTable, textTable } from '../../src/cli/output/table.js';
import { didYouMean } from '../../src/config/did-you-mean.js';
import { Sink } from '../support/command.js';
import { writeFakeRun } from '../support/fake-run.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'pgpc-cli-'));
  mkdirSync(path.join(folder, 'images'));
  writeFileSync(path.join(folder, 'weights.safetensors'), '');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Call {
  readonly command: string;
  readonly options: unknown;
  readonly io: CommandIo;
}

/** Runs a command line with handlers that only note what they are called with. */
async function run(
  args: readonly string[],
  settings: { act?: (call: Call) => unknown; signal?: AbortSignal; env?: Record<string, string> } = {},
) {
  const stdout = new Sink();
  const stderr = new Sink();
  const calls: Call[] = [];
  const handler = (command: string) => async (options: unknown, io: CommandIo) => {
    calls.push({ command, options, io });
    await settings.act?.(calls.at(-1)!);
  };
  const handlers: Handlers = {
    demo: handler('demo'),
    ablate: handler('ablate'),
    render: handler('render'),
    checkData: handler('data check'),
    dataStats: handler('data stats'),
    cacheData: handler('data cache'),
    train: handler('train'),
    evaluate: handler('evaluate'),
    predict: handler('predict'),
    report: handler('report'),
    inspectWeights: handler('weights inspect'),
    convertWeights: handler('weights convert'),
    pullWeights: handler('weights pull'),
    bench: handler('bench'),
    setUp: handler('setup'),
  };
  const signal = settings.signal ?? new AbortController().signal;
  const code = await main(args, { stdout, stderr, handlers, signal, env: settings.env ?? {} });
  return { code, out: stdout.text, err: stderr.text, calls };
}

async function optionsOf(args: readonly string[]): Promise<unknown> {
  const { code, err, calls } = await run(args);
  expect([code, err]).toEqual([0, '']);
  expect(calls).toHaveLength(1);
  return calls[0]!.options;
}

describe('what reaches the library', () => {
  test('demo', async () => {
    expect(await optionsOf(['demo'])).toEqual({
      quick: false,
      seed: 1,
      seeds: 1,
      name: undefined,
      out: 'runs',
      overwrite: false,
      device: 'auto',
      weights: undefined,
    });
    const weights = path.join(folder, 'weights.safetensors');
    const args = [
      'demo',
      '--quick',
      '--seed=7',
      '--seeds',
      '3',
      '--name',
      'mine',
      '--out',
      folder,
      '--overwrite',
    ];
    expect(await optionsOf([...args, '--weights', weights])).toEqual({
      quick: true,
      seed: 7,
      seeds: 3,
      name: 'mine',
      out: folder,
      overwrite: true,
      device: 'auto',
      weights,
    });
  });

  test('data render', async () => {
    const args = [
      'data',
      'render',
      '--out',
      path.join(folder, 'new'),
      '--size',
      '512x256',
      '--target-val',
      '0',
    ];
    expect(await optionsOf(args)).toEqual({
      out: path.join(folder, 'new'),
      seed: 1,
      size: { width: 512, height: 256 },
      sourceLayout: 'gta5',
      sourceTrain: 500,
      sourceVal: 50,
      targetTrain: 500,
      targetVal: 0,
      varied: 0,
    });
  });

  test('train', async () => {
    const images = path.join(folder, 'images');
    const roots = ['--source-root', images, '--target-root', images];
    const defaults = {
      resume: undefined,
      sourceRoot: images,
      targetRoot: images,
      method: 'pgpc',
      style: 'none',
      denoise: 'none',
      lossWeights: 'fixed',
      multiResolution: 'none',
      maskedConsistency: 'none',
      select: 'information',
      checkpointEvery: 500,
      iterations: 40_000,
      batch: 2,
      lr: 6e-5,
      seed: 1,
      set: {},
      allowPartial: false,
      skipBad: false,
      device: 'auto',
      activationCheckpointing: false,
      skipNotFinite: 0,
      memoryCheck: true,
      out: 'runs',
      overwrite: false,
      seeds: 1,
    };
    expect(await optionsOf(['train', ...roots])).toEqual(defaults);
    const given = await optionsOf(
      (
        'train --preset synthia-cityscapes --method daformer --network hrnet-w48 --source-scale 640x380 ' +
        '--target-scale 512x256 --source-range 0:4095 --target-range -40:85.5 --source-format synthia --target-format cityscapes --iterations 5 --batch 1 ' +
        '--style fda --fda-beta .05 --denoise agreement --multi-resolution hrda --masked-consistency mic --loss-weights uncertainty --select density --crop 256x256 --lr 1e-4 --seed 3 --skip-bad --device cuda:1 --precision bfloat16 --activation-checkpointing --skip-not-finite 4 --no-memory-check --workers 0 --name mine --overwrite'
      )
        .split(' ')
        .concat(roots),
    );
    expect(given).toEqual({
      ...defaults,
      preset: 'synthia-cityscapes',
      method: 'daformer',
      style: 'fda',
      fdaBeta: 0.05,
      denoise: 'agreement',
      multiResolution: 'hrda',
      maskedConsistency: 'mic',
      lossWeights: 'uncertainty',
      select: 'density',
      network: 'hrnet-w48',
      sourceScale: { width: 640, height: 380 },
      targetScale: { width: 512, height: 256 },
      sourceRange: [0, 4095],
      targetRange: [-40, 85.5],
      sourceFormat: 'synthia',
      targetFormat: 'cityscapes',
      iterations: 5,
      batch: 1,
      crop: { width: 256, height: 256 },
      lr: 1e-4,
      seed: 3,
      skipBad: true,
      device: 'cuda:1',
      precision: 'bfloat16',
      activationCheckpointing: true,
      skipNotFinite: 4,
      memoryCheck: false,
      workers: 0,
      name: 'mine',
      overwrite: true,
    });
    // Beside a run that is repeated stands only what was written.
    expect(await optionsOf(['train', '--config', images, '--seed', '3', '--set', 'batch=1'])).toEqual({
      config: images,
      seed: 3,
      set: { batch: 1 },
      device: 'auto',
      memoryCheck: true,
      out: 'runs',
      overwrite: false,
      seeds: 1,
    });
    const resumed = { resume: images, device: 'auto', allowChanged: false };
    expect(await optionsOf(['train', '--resume', images])).toEqual(resumed);
    const changed = ['--device', 'cpu', '--iterations', '7', '--source-root', images, '--allow-changed'];
    expect(await optionsOf(['train', '--resume', images, ...changed])).toEqual({
      ...resumed,
      device: 'cpu',
      iterations: 7,
      sourceRoot: images,
      allowChanged: true,
    });
  });

  test('a network, however it is spelled', async () => {
    for (const [given, name] of Object.entries({
      'mit-b5': 'mit-b5',
      mit_b5: 'mit-b5',
      MiT_B5: 'mit-b5',
      'mit_b5+daformer': 'mit-b5',
      'mit-b5+segformer': 'segformer-b5',
      'SegFormer-B5': 'segformer-b5',
      'DeepLabV3+': 'deeplabv3plus',
      'resnet101+deeplabv2': 'deeplabv2',
      hrnet_w48: 'hrnet-w48',
    })) {
      expect(await optionsOf(['bench', '--network', given])).toMatchObject({ network: name });
    }
    const folders = ['--source-root', folder, '--target-root', folder];
    const { network } = (await optionsOf(['train', ...folders, '--network', 'mit_b1'])) as {
      network: string;
    };
    expect(network).toBe('mit-b1');
  });

  test('eval, predict and report', async () => {
    const images = path.join(folder, 'images');
    expect(await optionsOf(['eval', '--checkpoint', images, '--target-root', images])).toEqual({
      checkpoint: images,
      best: false,
      targetRoot: images,
      format: undefined,
      split: 'val',
      inference: { size: undefined, scales: [1], flip: false },
      device: 'auto',
      classes: undefined,
      boundary: false,
      savePredictions: undefined,
      predictions: 'trainIds',
      perImage: undefined,
      worst: 20,
      fiftyone: undefined,
      json: undefined,
    });
    const whole = ['--input-size', '1024x512', '--scales', '.5,1,1e1', '--flip'];
    const written = ['--boundary', '--classes', '16', '--json', path.join(folder, 'x.json')];
    expect(
      await optionsOf(['eval', '--checkpoint', images, '--target-root', images, ...whole, ...written]),
    ).toMatchObject({
      inference: { size: { width: 1024, height: 512 }, scales: [0.5, 1, 10], flip: true },
      classes: 16,
      boundary: true,
      json: path.join(folder, 'x.json'),
    });
    const windows = ['--mode', 'slide', '--window', '65x64', '--window-batch', '3'];
    expect(
      await optionsOf([
        ...['predict', images, images, '*.jpg', '--best', '--input-size', 'full', '--write', 'colors,labels'],
        ...['--out', folder, ...windows],
      ]),
    ).toEqual({
      checkpoint: images,
      best: true,
      images: [images, '*.jpg'],
      out: folder,
      write: ['colors', 'labels'],
      labels: 'trainIds',
      every: 1,
      batch: undefined,
      device: 'auto',
      inference: {
        size: 'full',
        scales: [1],
        flip: false,
        slide: { window: { width: 65, height: 64 }, stride: undefined, batch: 3 },
      },
    });
    expect(await optionsOf(['report', images])).toEqual({ run: images });
  });

  test('the command line, quoted for a shell', async () => {
    const { calls } = await run(['demo', '--out', "it's here"]);
    expect(calls[0]!.io.command).toBe("pgpc demo --out 'it'\\''s here'");
  });
});

describe('help', () => {
  test('lists the commands', async () => {
    const { code, out, err } = await run(['--help']);
    expect([code, err]).toEqual([0, '']);
    for (const command of ['demo', 'data', 'train', 'eval', 'predict', 'report']) {
      expect(out).toMatch(new RegExp(`^ {2}${command}\\b.* {2}\\S`, 'm'));
    }
  });

  test('of every command describes every option, with defaults and an example', async () => {
    const data = ['render', 'check', 'stats', 'map', 'cache'].map((name) => ['data', name]);
    for (const args of [['demo'], ['ablate'], ...data, ['train'], ['eval'], ['predict'], ['report']]) {
      const { code, out } = await run([...args, '--help']);
      expect(code).toBe(0);
      expect(out).toMatch(new RegExp(`Examples?:\\n {2}pgpc ${args.join(' ')}`));
      const options = out
        .split('Options:\n')[1]!
        .split('\n\n')[0]!
        .replace(/\n {9,}/g, ' ')
        .split('\n');
      for (const line of options) expect(line).toMatch(/^ +(-h, )?--[a-z-]+( <[\w: ]+>| \[file\])? {2,}\S+/);
    }
    const { out } = await run(['train', '--help']);
    for (const shown of [
      '512x512',
      '6e-5',
      '40000',
      '"pgpc"',
      'source-only, self-training, daformer, pgpc',
    ]) {
      expect(out).toContain(shown);
    }
  });

  test('is what a bare command gets, as wrong usage', async () => {
    for (const args of [[], ['data']]) {
      const { code, out, err } = await run(args);
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(/^Usage: pgpc/);
    }
  });

  test('the version is the one of the package', async () => {
    expect((await run(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('refuses', () => {
  test.each([
    [
      ['dmeo'],
      /unknown command 'dmeo' \(did you mean 'demo'\?\); commands of 'pgpc': demo, init, adapt, data, train, eval, predict, try, export, report, compare, log, dashboard, weights, ablate, sweep, bench, setup, completion$/,
    ],
    [
      ['data', 'rendr'],
      /unknown command 'rendr' \(did you mean 'render'\?\); commands of 'pgpc data': render, check, stats, map, cache$/,
    ],
    [
      ['demo', '--qick'],
      /unknown option '--qick' \(did you mean '--quick'\?\); options of 'pgpc demo': --quick, --source-steps, --steps, --seed,/,
    ],
    [['demo', '--sede=4'], /unknown option '--sede=4' \(did you mean '--seed'\?\)/],
    [['demo', 'extra'], /too many arguments.*see 'pgpc demo --help'/],
    [
      ['train', '--method', 'pgcp'],
      /--method 'pgcp': must be one of source-only, self-training, daformer, pgpc, pgpc-plus, batch-contrast \(did you mean 'pgpc'\?\)$/,
    ],
    [['train', '--iterations', '1.5'], /--iterations '1\.5': must be a whole number of at least 1$/],
    [['train', '--iterations', '0'], /--iterations '0': must be a whole number of at least 1$/],
    [['train', '--lr', '0'], /--lr '0': must be a number above 0$/],
    [['train', '--lr', '1e999'], /--lr '1e999': must be a finite number$/],
    [['train', '--crop', '512'], /--crop '512': must be WIDTHxHEIGHT in pixels, such as 512x256$/],
    [['train', '--crop', '8x512'], /width and height must be from 16 to 8192 pixels$/],
    [['demo', '--seed', '-1'], /--seed '-1': must be a whole number from 0 to 4294967295$/],
    [['demo', '--seed', '0x10'], /--seed '0x10': must be a whole number/],
    [['demo', '--seed', ''], /--seed '': must be a whole number/],
    [['demo', '--seed'], /'--seed <number>' argument missing/],
    [['demo', '--name', '../up'], /--name '\.\.\/up': must be up to 100 letters/],
    [
      ['demo', '--weights', 'no-such-file'],
      /--weights 'no-such-file': there is no such file or folder, and no weights are known by this name$/,
    ],
    [['demo', '--out', 'package.json'], /--out 'package\.json': is a file, not a folder$/],
    [['demo', '--out', 'package.json/runs'], /--out 'package\.json\/runs': cannot be written to$/],
    [['eval', '--json', 'no/x.json'], /--json 'no\/x\.json': there is no such folder$/],
    [['bench', '--network', 'mit-b9'], /must be one of mit-b0, .* \(did you mean 'mit-b0'\?\)$/],
    [
      ['bench', '--profile', '--trace', '-', '--json', '-'],
      /--trace - and --json -: standard output takes one of them$/,
    ],
    [['train'], /train needs --source-root <folder>, or --resume <run>, or --config <run>$/],
    [['train', '--source-root', '.'], /train needs --target-root/],
    [
      ['train', '--resume', '.', '--batch', '1', '--lr', '1', '--seed', '2'],
      /--resume takes the rest.*leave out --batch, --seed$/,
    ],
    [['train', '--device', 'gpu'], /must be auto, cpu, cuda or cuda:N, such as cuda:0$/],
    [['demo', '--device', 'cuda:'], /must be auto, cpu, cuda or cuda:N, such as cuda:0$/],
    [['bench', '--precision', 'bf16'], /--precision 'bf16': must be one of float32, bfloat16$/],
    [
      ['train', '--resume', '.', '--precision', 'float32', '--set', 'crop.flip=0'],
      /--resume takes the rest.*leave out --set$/,
    ],
    [['train', '--fda-beta', '.6'], /--fda-beta '\.6': must be a number from 0 to 0\.5$/],
    [['train', '--fda-beta', '-1'], /--fda-beta '-1': must be a number from 0 to 0\.5$/],
    [
      ['train', '--source-root', '.', '--target-root', '.', '--fda-beta', '.1', '--style', 'dcan'],
      /--fda-beta goes with --style fda$/,
    ],
    [
      'train --source-root . --target-root . --method source-only --denoise prototypes'.split(' '),
      /--denoise prototypes: source-only has no pseudo-labels to clean$/,
    ],
    [
      'train --source-root . --target-root . --method source-only --loss-weights uncertainty'.split(' '),
      /--loss-weights uncertainty: source-only has one loss$/,
    ],
    [
      [
        'train',
        '--source-root',
        '.',
        '--target-root',
        '.',
        '--select',
        'agreement',
        '--method',
        'source-only',
      ],
      /--select agreement: source-only has no teacher/,
    ],
    [
      ['train', '--source-root', '.', '--target-root', '.', '--select', 'margin', '--method', 'daformer'],
      /--select margin: daformer has no prototypes$/,
    ],
    [
      ['train', '--source-root', '.', '--target-root', '.', '--from', '500'],
      /--from goes with --resume <run>$/,
    ],
    [
      ['train', '--source-root', '.', '--target-root', '.', '--allow-changed'],
      /--allow-changed goes with --resume <run>$/,
    ],
    [
      'train --source-root . --target-root . --init . --weights package.json'.split(' '),
      /--init is a whole network, --weights an encoder alone: leave out one of them$/,
    ],
    [
      'train --source-root . --target-root . --allow-partial'.split(' '),
      /--allow-partial goes with --weights <file>$/,
    ],
    [['eval', '--target-root', '.'], /required option '--checkpoint <path>' not specified/],
    [
      ['eval', '--split', 'tset'],
      /--split 'tset': must be one of train, val, test, all \(did you mean 'test'\?\)$/,
    ],
    [['report', 'no-such-run'], /run 'no-such-run': there is no such folder$/],
  ])('%j', async (args, message) => {
    const { code, out, err, calls } = await run(args);
    expect(calls).toEqual([]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^pgpc: [^\n]*\n$/);
    expect(err.trimEnd()).toMatch(message);
  });

  test('anything made up, in one line and without failing', async () => {
    const word = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 6 }),
      fc.constantFrom('demo', 'data', 'train', '--seed', '--name', '--', '-x', '--no-quick', '--size', '1x'),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 5 }), async (args) => {
        const { code, err, calls } = await run(args);
        if (calls.length > 0 || code === 0) {
          expect([code, err]).toEqual([0, '']);
        } else {
          expect(code).toBe(2);
          expect(err).toMatch(/^(pgpc: [^\n]*\n$|Usage: pgpc)/);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('ends with', () => {
  test('1 and one line for a failure; the stack only when asked for', async () => {
    const act = () => {
      throw new Error('weights.pth: tensor a is missing\n  tensor b is missing');
    };
    const failed = await run(['demo'], { act });
    expect(failed).toMatchObject({
      code: 1,
      err: 'pgpc: weights.pth: tensor a is missing tensor b is missing\n',
    });
    const debugged = await run(['demo'], { act, env: { PGPC_DEBUG: '1' } });
    expect(debugged.code).toBe(1);
    expect(debugged.err).toMatch(/^pgpc: .*\nError: weights.*\n.*\n +at .*main\.test\.ts/s);
  });

  test('130 when stopped, whether the command returns or throws', async () => {
    for (const ending of ['returns', 'throws'] as const) {
      const controller = new AbortController();
      const act = ({ io }: Call) => {
        controller.abort();
        if (ending === 'throws') io.signal.throwIfAborted();
      };
      expect(await run(['demo'], { act, signal: controller.signal })).toMatchObject({
        code: 130,
        err: 'pgpc: stopped\n',
      });
    }
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('what a shell expects of a command that %s stopped', async (name, code) => {
    const stderr = new Sink();
    const demo = async (_: unknown, io: CommandIo) => {
      process.emit(name, name);
      io.signal.throwIfAborted();
    };
    expect(await main(['demo'], { stderr, handlers: { demo } })).toBe(code);
    expect(stderr.text).toMatch(/^\npgpc: stopping.*\npgpc: stopped\n$/);
    if (name !== 'SIGINT') expect(stderr.text).toContain(name);
  });

  test('1 for a failure of another kind while stopping', async () => {
    const controller = new AbortController();
    const act = () => {
      controller.abort();
      throw new Error('disk full');
    };
    expect(await run(['demo'], { act, signal: controller.signal })).toMatchObject({
      code: 1,
      err: 'pgpc: disk full\n',
    });
  });
});

test('suggestions are near words only', () => {
  const words = ['--quick', '--seed', '--seeds'];
  expect(didYouMean('--sede', words)).toBe(" (did you mean '--seed'?)");
  expect(didYouMean('--QUICK', words)).toBe(" (did you mean '--quick'?)");
  expect(didYouMean('--elephant', words)).toBe('');
  expect(didYouMean('', ['a', 'ab'])).toBe('');
});

test('tables align, with a dash where a class is absent', () => {
  expect(textTable(['a', 'long'], [['longer', '1'], ['b']])).toBe(
    'a       long\n------------\nlonger     1\nb\n',
  );
  const results = [
    { name: 'a', label: 'Source only', miou: 0.25, iou: [0.25, Number.NaN], accuracy: 0.5, seconds: 1 },
    { name: 'b', label: 'PGPC', seed: 2, miou: 1, iou: [1, 1], accuracy: 1, seconds: 1 },
  ];
  expect(iouTable(results, [{ name: 'road' }, { name: 'train' }])).toBe(
    [
      'IoU, %  Source only  PGPC (2)',
      '-----------------------------',
      'road           25.0     100.0',
      'train             –     100.0',
      'mIoU           25.0     100.0',
      '',
    ].join('\n'),
  );
});

describe('the built program', () => {
  const bin = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
  const entry = new URL('../../dist/cli/main.js', import.meta.url);
  beforeAll(() => {
    expect(existsSync(entry), 'run `npx tsc -b packages/pgpc` first').toBe(true);
  });
  const pgpc = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8' });

  test('prints help, and refuses, with the right exit codes and streams', () => {
    expect(pgpc('--help')).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringMatching(/^Usage: pgpc/),
    });
    expect(pgpc('train', '--method', 'x')).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^pgpc: --method/),
    });
  });

  test('prints help without libtorch', () => {
    const program = `
      import { main } from ${JSON.stringify(entry.href)};
      await main(['train', '--help'], { stdout: process.stderr });
      process.stdout.write(process.report.getReport().sharedObjects.join('\\n'));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(stderr).toContain('Usage: pgpc train');
    expect(stdout).toContain('libc');
    expect(stdout).not.toContain('torch');
  });

  test('loads a plugin before it reads the options, and shows what it registers', () => {
    const plugin = path.join(folder, 'plugin.mjs');
    const library = new URL('../../dist/index.js', import.meta.url).href;
    writeFileSync(
      plugin,
      `import { field, registerMethod, registerPart, z } from ${JSON.stringify(library)};
      const options = z.strictObject({ weight: field(z.number(), 'weight of it', 0.5) });
      registerPart({ name: 'extra', text: 'something more', options, create: () => ({}) });
      registerMethod('mine', 'daformer', { extra: {} });`,
    );
    const { status, stdout } = pgpc('train', '--plugin', plugin, '--help');
    expect(status).toBe(0);
    expect(stdout.replace(/\s+/g, ' ')).toContain(
      'what to train: source-only, self-training, daformer, pgpc, pgpc-plus, batch-contrast, mine',
    );
    expect(stdout).toContain('method.parts.extra.weight (0.5): weight of it');
    expect(pgpc('train', '--plugin', 'none.mjs')).toMatchObject({
      status: 2,
      stderr: "pgpc: --plugin 'none.mjs': there is no such file\n",
    });
  });

  test('writes a report', async () => {
    const { path: directory } = await writeFakeRun(folder, { samples: 1 });
    const file = path.join(directory, 'report.html');
    expect(pgpc('report', directory)).toMatchObject({ status: 0, stderr: '', stdout: `${file}\n` });
    expect(existsSync(file)).toBe(true);
    expect(pgpc('report', path.join(folder, 'images'))).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^pgpc: .*images is no run directory: it has no run\.json\n$/),
    });
  });

  // The command waits for its signal, or, when it is told to, for nothing but its end.
  const interrupt = (stubborn: boolean, signal: NodeJS.Signals = 'SIGINT') =>
    new Promise<{ code: number | null; err: string }>((resolve) => {
      const program = `
        import { main } from ${JSON.stringify(entry.href)};
        const demo = (options, { signal, stdout }) => new Promise((resolve) => {
          const timer = setTimeout(resolve, 30_000);
          if (${!stubborn}) signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); });
          stdout.write('ready');
        });
        process.exitCode = await main(['demo'], { handlers: { demo } });`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
      let err = '';
      child.stderr.on('data', (chunk) => {
        err += chunk;
        if (stubborn) child.kill(signal);
      });
      child.stdout.once('data', () => child.kill(signal));
      child.on('close', (code) => resolve({ code, err }));
    });

  test('stops cleanly at the first Ctrl-C', async () => {
    expect(await interrupt(false)).toEqual({
      code: 130,
      err: '\npgpc: stopping; Ctrl-C again ends at once\npgpc: stopped\n',
    });
  });

  test('ends at once at the second signal, whichever it is', async () => {
    expect(await interrupt(true, 'SIGTERM')).toEqual({
      code: 143,
      err: '\npgpc: stopping, as SIGTERM asks for it; a second signal ends at once\n',
    });
  });
});

test('nothing that a terminal would act on reaches it, and JSON stays what it is', async () => {
  const evil = 'a\x1b[2J\x07\x9b31m\u202eb';
  const { out, err } = await run(['report', path.join(folder, 'images')], {
    act: ({ io }) => {
      io.stdout.write(`${JSON.stringify({ [evil]: 1 })}\n`);
      io.stderr.write(`one\ttwo\rthree\n`);
      io.stderr.write(`\rpgpc  ${evil}\x1b[K`);
      throw new Error(`${evil}: bad\nindeed`);
    },
  });
  expect(JSON.parse(out)).toEqual({ [evil]: 1 });
  const shown = 'a\\u001b[2J\\u0007\\u009b31m\\u202eb';
  expect(out).toBe(`{"${shown}":1}\n`);
  expect(err).toBe(`one\ttwo\\u000dthree\n\rpgpc  ${shown}\x1b[Kpgpc: ${shown}: bad indeed\n`);
});
