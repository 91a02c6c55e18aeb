// `pgpc init`, and the file of options that it writes.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { main } from '../../src/cli/main.js';

const root = mkdtempSync(join(tmpdir(), 'pgpc-init-'));
const [simulator, camera, photos] = ['simulator', 'camera', 'photos'].map((name) => join(root, name)) as [
  string,
  string,
  string,
];
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function pgpc(args: readonly string[], handlers = {}) {
  const said = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof said) =>
    ({ write: (text: string) => (said[name] += text), isTTY: false }) as unknown as NodeJS.WritableStream;
  const code = await main(args, { stdout: stream('stdout'), stderr: stream('stderr'), handlers });
  return { code, ...said };
}

/** Images whose labels show every class, in stripes. */
async function writeFolder(
  folder: string,
  classes: readonly string[],
  splits: readonly string[],
): Promise<void> {
  const [width, height] = [48, 32];
  const label = Uint8Array.from({ length: width * height }, (_, i) =>
    Math.floor(((i % width) * classes.length) / width),
  );
  for (const split of splits) {
    for (const part of ['images', 'masks']) mkdirSync(join(folder, part, split), { recursive: true });
    const raw = { raw: { width, height, channels: 1 as const } };
    await sharp(
      label.map((c) => 60 * c),
      raw,
    )
      .toColourspace('srgb')
      .png()
      .toFile(join(folder, 'images', split, 'a.png'));
    await sharp(label, raw)
      .toColourspace('b-w')
      .png()
      .toFile(join(folder, 'masks', split, 'a.png'));
  }
  const lines = classes.map((name, i) => `  - { name: ${name}, value: ${i} }\n`);
  writeFileSync(join(folder, 'classes.yaml'), `classes:\n${lines.join('')}`);
}

beforeAll(async () => {
  await writeFolder(simulator, ['road', 'sky', 'car'], ['train']);
  await writeFolder(camera, ['sky', 'road', 'automobile'], ['train', 'val']);
  mkdirSync(photos);
  await sharp({ create: { width: 48, height: 32, channels: 3, background: 'gray' } })
    .png()
    .toFile(join(photos, 'a.png'));
});

describe('pgpc init', () => {
  test('writes options that adapt reads, with paths from their own folder', async () => {
    const folder = join(root, 'project');
    const outcome = await pgpc(['init', folder, '--source-root', simulator, '--target-root', photos]);
    expect(outcome).toMatchObject({ code: 0 });
    expect(outcome.stdout).toContain(`next: cd ${folder} && pgpc adapt`);
    const options = parse(readFileSync(join(folder, 'pgpc.yaml'), 'utf8'));
    expect(options).toEqual({
      'source-root': simulator,
      'target-root': photos,
      methods: ['pgpc-plus'],
      crop: 128,
      'source-steps': 1200,
      steps: 300,
    });
    const adapt = vi.fn();
    const { code, stderr } = await pgpc(['adapt', '--config', join(folder, 'pgpc.yaml'), '--steps', '77'], {
      adapt,
    });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(adapt.mock.calls[0]![0]).toMatchObject({
      source: { root: simulator },
      target: { root: photos },
      methods: ['pgpc-plus'],
      // The command line wins.
      steps: 77,
      sourceSteps: 1200,
      configured: expect.stringMatching(/pgpc\.yaml: source-root, target-root, methods, crop, source-steps$/),
    });
  });

  test('proposes the classes that both have where they differ, and names them in the options', async () => {
    const folder = join(root, 'mapped');
    const outcome = await pgpc(['init', folder, '--source-root', simulator, '--target-root', camera]);
    expect(outcome).toMatchObject({ code: 0 });
    expect(parse(readFileSync(join(folder, 'pgpc.yaml'), 'utf8'))).toMatchObject({ classes: 'classes.yaml' });
    const { classes } = parse(readFileSync(join(folder, 'classes.yaml'), 'utf8')) as {
      classes: (string | { name: string })[];
    };
    expect(classes.map((one) => (typeof one === 'string' ? one : one.name)).toSorted()).toEqual([
      'automobile',
      'road',
      'sky',
    ]);
  });

  test('what the names do not tell is left to decide, in a file that the same command then takes', async () => {
    const other = join(root, 'other');
    await writeFolder(other, ['sky', 'road', 'car', 'zebra'], ['train']);
    const folder = join(root, 'decided');
    const args = ['init', folder, '--source-root', simulator, '--target-root', other];
    const first = await pgpc(args);
    expect(first.code).toBe(1);
    expect(first.stderr).toContain(
      'classes.yaml: decide at its end what becomes of 1 class, then run the same command again',
    );
    expect(existsSync(join(folder, 'pgpc.yaml'))).toBe(false);
    const proposed = readFileSync(join(folder, 'classes.yaml'), 'utf8');
    writeFileSync(join(folder, 'classes.yaml'), proposed.replace('ignore: []', 'ignore: [zebra]'));
    expect(await pgpc(args)).toMatchObject({ code: 0 });
  });

  test('writes nothing over what is there', async () => {
    const args = ['init', join(root, 'project'), '--source-root', simulator, '--target-root', photos];
    const { code, stderr } = await pgpc(args);
    expect(code).toBe(2);
    expect(stderr).toContain('pgpc.yaml is there already');
  });

  test('a bad file is named, and no options are written', async () => {
    const bad = join(root, 'bad');
    mkdirSync(bad);
    writeFileSync(join(bad, 'broken.png'), 'no image');
    writeFileSync(join(bad, 'fine.png'), readFileSync(join(photos, 'a.png')));
    const folder = join(root, 'refused');
    const { code, stderr } = await pgpc(['init', folder, '--source-root', simulator, '--target-root', bad]);
    expect(code).toBe(1);
    expect(stderr).toContain('broken.png');
    expect(existsSync(folder)).toBe(false);
  });

  test('a source without labels is refused', async () => {
    const { code, stderr } = await pgpc([
      'init',
      join(root, 'refused'),
      '--source-root',
      photos,
      '--target-root',
      photos,
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain('has no labels');
  });

  test('where nobody can be asked, it says which flags answer', async () => {
    const { code, stderr } = await pgpc(['init', join(root, 'refused'), '--source-root', simulator]);
    expect(code).toBe(2);
    expect(stderr).toContain('give --source-root and --target-root');
  });
});

describe('a file of options', () => {
  const file = join(root, 'options.yaml');
  const roots = { 'source-root': 'simulator', 'target-root': 'photos' };
  const adapt = vi.fn();
  beforeEach(() => adapt.mockClear());
  const given = async (options: Record<string, unknown>) => {
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ ...roots, ...options }));
    return pgpc(['adapt', '--config', file], { adapt });
  };

  test('takes lists, maps of settings and switches', async () => {
    expect(
      await given({ methods: ['pgpc', 'self-training'], set: { batch: 4 }, 'skip-bad': true }),
    ).toMatchObject({ code: 0 });
    expect(adapt.mock.calls[0]![0]).toMatchObject({
      source: { root: simulator },
      methods: ['pgpc', 'self-training'],
      set: { batch: 4 },
      skipBad: true,
    });
  });

  test.each([
    [{ stepz: 3 }, "there is no option 'stepz' (did you mean 'steps'?)"],
    [{ steps: 'many' }, "steps 'many': must be a whole number"],
    [{ methods: ['pgcp'] }, "there is no method 'pgcp' (did you mean 'pgpc'?)"],
    [{ 'skip-bad': 'yes' }, 'skip-bad is true or false'],
    [{ steps: { a: 1 } }, 'steps is one value, not a map'],
    [{ 'source-root': 'nowhere' }, 'source-root'],
  ])('%j is refused with the name of the file', async (options, message) => {
    const { code, stderr } = await given(options);
    expect(code).toBe(2);
    expect(stderr).toContain(file);
    expect(stderr).toContain(message);
    expect(adapt).not.toHaveBeenCalled();
  });

  test.each([
    [{ methods: ['pgpc,'.repeat(20_000)] }],
    [{ steps: 'many'.repeat(20_000) }],
    [{ ['stepz'.repeat(20_000)]: 3 }],
  ])('a text as long as the file is cut off in what is said of it', async (options) => {
    const { code, stderr } = await given(options);
    expect(code).toBe(2);
    expect(stderr).toContain(file);
    expect(stderr.length).toBeLessThan(4000);
  });

  test('that is no map of options is refused', async () => {
    writeFileSync(file, '- steps\n');
    const { code, stderr } = await pgpc(['adapt', '--config', file], { adapt });
    expect(code).toBe(2);
    expect(stderr).toContain('options by their long names are needed');
  });
});
