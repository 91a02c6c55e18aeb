// Devices: what is said where there is none, and, on a machine with an NVIDIA GPU, that tensors are computed there.

import { describe, expect, test } from 'vitest';
import { buildInfo, liveTensors, ops, randn, TorchError, tensor, zeros } from '../src/index.js';

const { cuda } = buildInfo();

function refusal(device: string): string {
  try {
    ops.empty([1], { device });
  } catch (error) {
    expect(error).toBeInstanceOf(TorchError);
    return (error as TorchError).message;
  }
  return 'none';
}

test('kinds that nothing here runs on are refused by name', () => {
  for (const device of ['vulkan', 'xla:1', 'lazy', 'mps', 'privateuseone']) {
    expect(refusal(device)).toContain(`devices are 'cpu', 'cuda' and 'meta', not '${device}'`);
  }
  expect(refusal('nonsense')).toContain('nonsense');
  expect(ops.empty([2], { device: 'cpu' }).device).toBe('cpu');
  expect(ops.empty([2], { device: 'meta' }).device).toBe('meta');
});

test('a GPU that is not there is refused in one line that says why', () => {
  const message = refusal('cuda:99');
  expect(message).toContain("there is no device 'cuda:99'");
  expect(message.split('\n')).toHaveLength(1);
  expect(() => zeros([2]).to({ device: 'cuda:99' })).toThrow("there is no device 'cuda:99'");
});

test.skipIf(cuda)('without a GPU, cuda is refused in one line that says why', () => {
  const message = refusal('cuda');
  expect(message).toMatch(/there is no device 'cuda': .*(built without CUDA|no NVIDIA GPU)/);
  expect(message.split('\n')).toHaveLength(1);
});

describe.runIf(cuda)('on a GPU', () => {
  test("a product and its gradient are the CPU's", () => {
    const x = randn([8, 16], { dtype: 'float64' });
    const w = randn([16, 4], { dtype: 'float64' });
    const here = w.clone().requiresGrad_();
    x.matmul(here).square().sum().backward();
    const there = w.to({ device: 'cuda' }).detach().requiresGrad_();
    x.to({ device: 'cuda' }).matmul(there).square().sum().backward();
    expect(there.device).toBe('cuda:0');
    const difference = there.grad!.to({ device: 'cpu' }).sub(here.grad!).abs().max().item();
    expect(difference).toBeLessThan(1e-10);
  });

  test('elements are read from it', () => {
    expect(tensor([1, 2, 3]).to({ device: 'cuda' }).mul(2).tolist()).toEqual([2, 4, 6]);
  });
});

test('a tensor made of numbers for a device leaves none behind on the way there', () => {
  const before = liveTensors();
  const made = [tensor([1, 2], { device: 'cpu' }), tensor(Float32Array.of(3), { device: 'cpu' })];
  expect(made.map((one) => one.tolist())).toEqual([[1, 2], [3]]);
  expect(liveTensors()).toBe(before + made.length);
  for (const one of made) one.dispose();
  expect(liveTensors()).toBe(before);
});
