// What only a GPU has: its random numbers, graphs, copies ahead, memory figures, and operators that wait for it.

import { describe, expect, test } from 'vitest';
import {
  autocast,
  CudaGraph,
  copyAhead,
  cudaAvailable,
  deviceMemory,
  Generator,
  nn,
  ops,
  optim,
  rand,
  randn,
  resetPeakMemory,
  synchronize,
  type Tensor,
  tensor,
  tidy,
  withoutWaiting,
  zeros,
} from '../src/index.js';

const device = 'cuda';

function apart(a: Tensor, b: Tensor): number {
  return tidy(() => a.sub(b).abs().max().item());
}

test.skipIf(cudaAvailable())('without a GPU each says what is missing, and waiting is over at once', () => {
  expect(() => CudaGraph.record(() => zeros([1]))).toThrow(/CudaGraph.record: .*GPU/);
  expect(() => deviceMemory()).toThrow('deviceMemory: ');
  expect(() => withoutWaiting(() => 1)).toThrow('withoutWaiting: ');
  synchronize();
});

test('copies ahead to the CPU are the tensors themselves', () => {
  tidy(() => {
    const ahead = copyAhead([tensor([1, 2]), tensor([3])], 'cpu');
    expect(ahead.take().map((copy) => copy.tolist())).toEqual([[1, 2], [3]]);
    expect(ahead.take()).toEqual([]);
  });
});

describe.runIf(cudaAvailable())('on a GPU', () => {
  test('a generator draws other numbers there, the same by the same seed, and resumes from its state', () => {
    tidy(() => {
      using first = new Generator(7);
      using second = new Generator(7);
      const draw = (generator: Generator) => rand([1000], { generator, device }).to({ device: 'cpu' });
      const [a, b] = [draw(first), draw(second)];
      expect(apart(a, b)).toBe(0);
      const state = first.getState();
      const c = draw(first);
      expect(apart(a, c)).toBeGreaterThan(0.1);
      first.setState(state);
      expect(apart(draw(first), c)).toBe(0);
      // The numbers of the CPU are not touched by it.
      using fresh = new Generator(7);
      expect(apart(rand([100], { generator: second }), rand([100], { generator: fresh }))).toBe(0);
    });
  });

  test('copies ahead arrive', () => {
    tidy(() => {
      const host = [randn([512, 512]), randn([3])];
      const ahead = copyAhead(host, device);
      const busy = randn([2048, 2048], { device });
      for (let i = 0; i < 10; i++) busy.matmul(busy);
      const copies = ahead.take();
      expect(copies.map((copy) => copy.device)).toEqual(['cuda:0', 'cuda:0']);
      for (const [i, copy] of copies.entries()) {
        expect(apart(copy.mul(2).to({ device: 'cpu' }), host[i]!.mul(2))).toBe(0);
        copy.dispose();
      }
    });
  });

  test('an operator that waits is refused where waiting is forbidden, and only there', () => {
    tidy(() => {
      const x = tensor([1, 2, 3], { device });
      expect(() => withoutWaiting(() => x.sum().item())).toThrow();
      expect(() => withoutWaiting(() => x.nonzero())).toThrow();
      expect(withoutWaiting(() => x.mul(2)).tolist()).toEqual([2, 4, 6]);
      expect(x.sum().item()).toBe(6);
    });
  });

  test('a graph computes anew from what its tensors hold, gradients too', () => {
    tidy(() => {
      const x = zeros([4], { device });
      const w = tensor([1, 2, 3, 4], { device }).requiresGrad_();
      const work = () => {
        w.grad = null;
        const loss = x.mul(w).square().sum();
        loss.backward();
        return loss.detach();
      };
      for (let i = 0; i < 3; i++) work();
      const { graph, result } = CudaGraph.record(work);
      for (const value of [1, 2, 3]) {
        x.fill_(value);
        graph.replay();
        expect(result.item()).toBe(30 * value ** 2);
        expect(w.grad!.tolist()).toEqual([1, 2, 3, 4].map((weight) => 2 * weight * value ** 2));
      }
      graph.dispose();
      expect(() => graph.replay()).toThrow('the graph was disposed');
    });
  });

  test('what a graph draws differs from replay to replay as it does without one', () => {
    tidy(() => {
      using recorded = new Generator(3);
      using plain = new Generator(3);
      const draw = (generator: Generator) => rand([64], { generator, device });
      draw(recorded);
      draw(plain);
      const { graph, result } = CudaGraph.record(() => draw(recorded));
      const seen: Tensor[] = [];
      for (let i = 0; i < 3; i++) {
        graph.replay();
        seen.push(result.clone());
        expect(apart(result, draw(plain))).toBe(0);
      }
      expect(apart(seen[0]!, seen[1]!)).toBeGreaterThan(0);
      graph.dispose();
    });
  });

  test('an error while recording leaves the GPU usable', () => {
    tidy(() => {
      const x = tensor([1, 2], { device });
      expect(() => CudaGraph.record(() => x.sum().item())).toThrow();
      synchronize();
      expect(x.sum().item()).toBe(3);
    });
  });

  test("AdamW and the running average are the CPU's", () => {
    const run = (place: string) =>
      tidy(() => {
        const values = Array.from({ length: 100 }, (_, i) => Math.sin(i));
        const param = tensor(values, { device: place, requiresGrad: true });
        using optimizer = new optim.AdamW([param], { lr: 1e-2, weightDecay: 0.1 });
        const average = tensor(
          values.map((x) => 1 - x),
          { device: place },
        );
        for (let step = 0; step < 5; step++) {
          optimizer.zeroGrad();
          param.pow(3).sum().backward();
          optimizer.step();
          ops.call('pgpc::ema_', [average], [param.detach()], 0.9);
        }
        return [param.detach().to({ device: 'cpu' }), average.to({ device: 'cpu' })] as const;
      });
    tidy(() => {
      const [here, there] = [run('cpu'), run(device)];
      expect(apart(here[0], there[0])).toBeLessThan(1e-6);
      expect(apart(here[1], there[1])).toBeLessThan(1e-6);
    });
  });

  test('AdamW widens gradients of 16 bits a part at a time, to what it makes of float32', () => {
    // The middle one alone is more than is widened at once.
    const sizes = [1000, 2 ** 24 + 1, 1000];
    const trained = (widen: boolean) =>
      tidy(() => {
        const generator = new Generator(1);
        const params = sizes.map((size) => zeros([size], { device, requiresGrad: true }));
        const gradients = sizes.map((size) => randn([size], { generator, device }).to('bfloat16'));
        using optimizer = new optim.AdamW(params, { lr: 1e-2 });
        for (let i = 0; i < 3; i++) {
          optimizer.step((param) => {
            const gradient = gradients[params.indexOf(param)]!;
            return widen ? gradient.to('float32') : gradient;
          });
        }
        return params.map((param) => param.detach());
      });
    tidy(() => {
      const [narrow, wide] = [trained(false), trained(true)];
      for (const [i, param] of narrow.entries()) expect(apart(param, wide[i]!)).toBe(0);
    });
  });

  test('a depthwise convolution in bfloat16 has the gradients of float32', () => {
    tidy(() => {
      const conv = new nn.Conv2d(8, 8, 3, { padding: 2, dilation: 2, groups: 8 });
      conv.to({ device });
      const gradient = (on: boolean) => {
        conv.zeroGrad();
        const x = randn([2, 8, 16, 16], { generator: new Generator(1), device });
        autocast(on ? 'bfloat16' : undefined, () => conv.call(x).to('float32').square().mean()).backward();
        return conv.weight.grad!;
      };
      const [exact, rounded] = [gradient(false), gradient(true)];
      expect(apart(exact, rounded)).toBeLessThan(2e-2 * exact.abs().max().item());
      conv.dispose();
    });
  });

  test('memory figures follow what is allocated', () => {
    resetPeakMemory();
    const before = deviceMemory();
    const block = zeros([2 ** 24], { device });
    expect(deviceMemory().allocated - before.allocated).toBe(2 ** 26);
    block.dispose();
    const after = deviceMemory();
    expect(after.allocated).toBe(before.allocated);
    expect(after.peak - before.allocated).toBeGreaterThanOrEqual(2 ** 26);
    expect(after.total).toBeGreaterThan(after.free);
  });
});
