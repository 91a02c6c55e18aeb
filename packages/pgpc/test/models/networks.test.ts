// Every network by its name: the reference's names and shapes, parameters, numbers, and gradients everywhere.

import { readFileSync } from 'node:fs';
import * as torch from '@pgpc/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutInitialValues } from '../../src/models/initial-values.js';
import * as networks from '../../src/models/networks.js';
import { createNetwork, type Network, networkNames } from '../../src/models/networks.js';
import {
  expectGolden,
  fill,
  goldenInput,
  manifests,
  noise,
  officialGolden,
  peerGoldens,
} from '../support/goldens.js';

/** Of the official implementations; for SegFormer's decoder, counted by hand from its layers. */
const parameters: Readonly<Record<string, number>> = {
  mit_b0: 3_319_392,
  mit_b1: 13_151_424,
  mit_b2: 24_196_288,
  mit_b3: 44_072_128,
  mit_b4: 60_842_688,
  mit_b5: 81_443_008,
  daformer_mitb0: 6_900_595,
  daformer: 85_155_283,
  hrda_mitb5: 85_685_990,
  segformer_mitb0: 3_319_392 + (32 + 64 + 160 + 256 + 4) * 256 + 4 * 256 * 256 + 2 * 256 + 257 * 19,
  deeplabv2_r101: 43_920_300,
  deeplabv2red_r101: 43_219_846,
  hrnet_w48: 65_859_379,
};

const reference = manifests();
const goldens = peerGoldens();

test('the fill rule gives the values that the goldens state', () => {
  const v = noise('patch_embed1.proj.weight', 4);
  const stated = [0.414298593, -0.314937054, 0.320354333, -0.0376823814];
  for (const [i, value] of stated.entries()) expect(v[i]).toBeCloseTo(value, 8);
});

describe.each([...new Set([...reference.keys(), ...goldens.keys()])])('%s', (name) => {
  let network: Network;
  beforeAll(() => {
    network = withoutInitialValues(() => createNetwork(name));
  });
  afterAll(() => network.dispose());

  test.runIf(reference.has(name))('has the reference names and shapes, in their order', () => {
    const entries = [...network.stateDict()].map(([entry, { shape }]) => [entry, [...shape]]);
    // DINOv2's manifests are in the order of a conversion.
    const inOrder = (list: readonly unknown[]) =>
      name.startsWith('dinov2') ? list.map(String).sort() : list;
    expect(inOrder(entries)).toEqual(inOrder(reference.get(name)!));
  });

  test.runIf(name in parameters)('has the reference number of parameters', () => {
    expect(network.parameters().reduce((sum, { numel }) => sum + numel, 0)).toBe(parameters[name]);
  });

  test.runIf(goldens.has(name))(
    'computes what PyTorch computes, and passes gradients to every parameter',
    () => {
      const golden = goldens.get(name)!;
      fill(network);
      const named = torch.tidy(() => {
        const outputs = network.call(goldenInput(golden.input_shape));
        expect(Object.keys(outputs)).toEqual(golden.outputs.map((output) => output.name));
        for (const output of golden.outputs) {
          expectGolden(outputs[output.name]!, output, output.name === 'logits' ? 1e-6 : 2e-5);
        }
        (outputs.logits ?? outputs.stage4!).square().mean().backward();
        // A product with zero, infinity or NaN would show.
        const sizes = [...network.namedParameters()].map(
          ([entry, parameter]) => [entry, parameter.grad?.abs().max().item()] as const,
        );
        network.zeroGrad();
        return sizes;
      });
      expect(named.filter(([, size]) => !(size !== undefined && size > 0 && size < Infinity))).toEqual([]);
    },
  );
});

test.each([
  ['mit_b0', 2e-5],
  ['daformer_mitb0', 1e-6],
  ['hrda_mitb5', 1e-6],
  ['dinov2_vits14', 1e-6],
])(
  '%s computes what the official implementation computes, to %d',
  { timeout: 300_000 },
  (name, tolerance) => {
    using network = fill(withoutInitialValues(() => createNetwork(name)));
    const golden = officialGolden(name);
    torch.tidy(() => {
      const outputs = torch.noGrad(() => network.call(goldenInput(golden.input_shape)));
      for (const output of golden.outputs) expectGolden(outputs[output.name]!, output, tolerance);
    });
  },
);

describe('createNetwork', () => {
  test('knows every network of the manifests, and lists its names where one is not known', () => {
    expect(networkNames).toEqual(expect.arrayContaining([...reference.keys()]));
    expect(() => createNetwork('mit_b6')).toThrow(/'mit_b6'.*mit_b5, .*hrnet_w48/);
  });

  test('takes a number of classes and a seed, and starts in evaluation mode', () => {
    torch.tidy(() => {
      using network = createNetwork('daformer_mitb0', { classes: 7, seed: 3 });
      using same = createNetwork('daformer_mitb0', { classes: 7, seed: 3 });
      using other = createNetwork('daformer_mitb0', { classes: 7, seed: 4 });
      const image = goldenInput([1, 3, 40, 56]);
      const [a, b, c] = torch.noGrad(() => [network, same, other].map((net) => net.call(image).logits!));
      expect(a!.shape).toEqual([1, 7, 10, 14]);
      expect(a!.equal(b!)).toBe(true);
      expect(a!.equal(c!)).toBe(false);
      // Evaluation mode: no dropout, so a second pass is the same.
      expect(torch.noGrad(() => network.call(image).logits!).equal(a!)).toBe(true);
    });
    expect(() => createNetwork('mit_b0', { classes: 7 })).toThrow('mit_b0 is an encoder alone');
    for (const name of ['mit_b0', 'daformer_mitb0']) {
      expect(() => createNetwork(name, { detailCrop: 64 })).toThrow(
        `${name} sees the image at one resolution`,
      );
    }
  });

  test('leaves no tensors behind but its outputs', () => {
    const before = torch.liveTensors();
    const network = createNetwork('segformer_mitb0');
    using image = goldenInput([1, 3, 64, 64]);
    const outputs = torch.noGrad(() => network.call(image));
    network.dispose();
    expect(torch.liveTensors()).toBe(before + 1 + Object.keys(outputs).length);
    for (const output of Object.values(outputs)) output.dispose();
  });
});

test('the script in docs/networks.md prints what the official implementation computes', async () => {
  const page = readFileSync(new URL('../../../../docs/networks.md', import.meta.url), 'utf8');
  const script = /```js\n(.*?)```/s.exec(page)![1]!;
  const modules: Record<string, unknown> = { '@pgpc/torch': torch, pgpc: networks };
  const load = async (from: string) => modules[from] ?? (await import(from));
  const imports = /^import (\{[^}]*\}) from '([^']*)';$/gm;
  const body = script.replace(imports, "const $1 = await load('$2');");
  const lines: [name: string, shape: number[], values: Float32Array][] = [];
  const log = (...line: unknown[]) => lines.push(line as (typeof lines)[number]);
  const AsyncFunction = (async () => {}).constructor as new (
    ...text: string[]
  ) => (...args: unknown[]) => Promise<void>;
  await new AsyncFunction('load', 'console', body)(load, { log });
  const golden = officialGolden('mit_b0');
  expect(lines.map(([name, shape]) => [name, shape])).toEqual(
    golden.outputs.map(({ name, shape }) => [name, shape]),
  );
  for (const [i, { indices, values }] of golden.outputs.entries()) {
    for (const [k, index] of indices.entries()) {
      expect(Math.abs(lines[i]![2][index]! - values[k]!)).toBeLessThan(2e-5);
    }
  }
});
