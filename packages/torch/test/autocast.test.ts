// Automatic mixed precision, on the CPU, whose autocast has the same rules as a GPU's.

import { expect, test } from 'vitest';
import { autocast, autocastDtype, Generator, nn, noGrad, randn, type Tensor, tidy } from '../src/index.js';

test('products are rounded, what needs float32 is not, and the mode ends with the function', () => {
  tidy(() => {
    const [a, b] = [randn([8, 8]), randn([8, 8])];
    expect(autocastDtype()).toBeUndefined();
    autocast('bfloat16', () => {
      expect(autocastDtype()).toBe('bfloat16');
      expect(a.matmul(b).dtype).toBe('bfloat16');
      expect(a.add(b).dtype).toBe('float32');
      autocast(undefined, () => expect(a.matmul(b).dtype).toBe('float32'));
      expect(a.matmul(b).dtype).toBe('bfloat16');
    });
    expect(() =>
      autocast('bfloat16', () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(a.matmul(b).dtype).toBe('float32');
    expect(() => autocast('bfloat16', async () => 1)).toThrow('synchronous');
    expect(autocastDtype()).toBeUndefined();
  });
});

test('a module can run in it, its parameters and their gradients stay float32', () => {
  tidy(() => {
    using generator = new Generator(1);
    using layer = new nn.Linear(16, 4, { generator });
    const x = randn([32, 16], { generator });
    const gradient = () => {
      layer.zeroGrad();
      const y = layer.call(x);
      y.to('float32').square().mean().backward();
      return [y, layer.weight.grad!] as const;
    };
    const [exact, exactGradient] = gradient();
    layer.autocast_('bfloat16');
    const [rounded, roundedGradient] = gradient();
    expect([exact.dtype, rounded.dtype, roundedGradient.dtype]).toEqual(['float32', 'bfloat16', 'float32']);
    const apart = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item() / a.abs().max().item();
    expect(apart(exact, rounded.to('float32'))).toBeLessThan(1e-2);
    expect(apart(exactGradient, roundedGradient)).toBeLessThan(1e-2);
    // Weights that were cast in it are not kept for the next time, when they may be others.
    noGrad(() => layer.weight.mul_(2));
    expect(apart(layer.call(x), rounded)).toBeGreaterThan(0.1);
    expect(layer.autocast_(undefined).call(x).dtype).toBe('float32');
  });
});

test('a layer norm that only products read is rounded once, and is float32 without autocast', () => {
  tidy(() => {
    using norm = new nn.LayerNorm(8, { narrow: true });
    const x = randn([4, 8]);
    expect(norm.call(x).dtype).toBe('float32');
    expect(autocast('bfloat16', () => norm.call(x).dtype)).toBe('bfloat16');
    using wide = new nn.LayerNorm(8);
    expect(autocast('bfloat16', () => wide.call(x).dtype)).toBe('float32');
  });
});

test('checkpointed modules are run again in the precision of their first run', () => {
  class Two extends nn.Module {
    readonly inner = new nn.Linear(8, 8);
    forward(x: Tensor): Tensor {
      return this.inner.call(x);
    }
  }
  tidy(() => {
    using network = new Two();
    network.autocast_('bfloat16');
    const x = randn([4, 8]);
    const gradient = (checkpoints?: nn.ActivationCheckpoints) => {
      network.zeroGrad();
      const pass = () => network.call(x).to('float32').square().sum();
      if (checkpoints) checkpoints.record(() => checkpoints.backward(pass()));
      else pass().backward();
      return network.inner.weight.grad!;
    };
    const plain = gradient();
    const again = gradient(new nn.ActivationCheckpoints([network.inner]));
    expect(plain.sub(again).abs().max().item()).toBe(0);
  });
});

test('weights that are cast together give the outputs and gradients of weights that autocast casts', () => {
  class Network extends nn.Module {
    readonly conv = new nn.Conv2d(3, 8, 3, { padding: 1 });
    readonly norm = new nn.BatchNorm2d(8);
    readonly head = new nn.Conv2d(8, 2, 1, { bias: false });
    forward(x: Tensor): Tensor {
      return this.head.call(this.norm.call(this.conv.call(x)).relu());
    }
  }
  tidy(() => {
    using network = new Network();
    network.autocast_('bfloat16');
    const x = randn([2, 3, 8, 8]);
    const pass = () => network.call(x).to('float32').square().mean();
    pass().backward();
    const wanted = network.parameters().map(({ grad }) => grad!);
    network.zeroGrad();

    const casts = new nn.CastWeights(network, 'bfloat16');
    const loss = pass();
    loss.backward();
    expect(network.conv.weight.grad).toBeNull();
    expect(casts.gradientOf(network.conv.weight)!.dtype).toBe('bfloat16');
    expect(casts.gradientOf(network.norm.weight)!.dtype).toBe('float32');
    for (const [i, param] of network.parameters().entries()) {
      expect(casts.gradientOf(param)!.sub(wanted[i]!).abs().max().item()).toBe(0);
    }
    // Two passes add up, as gradients do, until they are dropped.
    pass().backward();
    const ratio = casts.gradientOf(network.head.weight)!.div(wanted.at(-1)!);
    expect(ratio.sub(2).abs().max().item()).toBeLessThan(2e-2);
    casts.zeroGrad();
    expect(casts.gradientOf(network.head.weight)).toBeNull();

    noGrad(() => network.conv.weight.mul_(3));
    expect(pass().item()).toBe(loss.item());
    casts.refresh();
    const changed = pass().item();
    expect(changed).not.toBe(loss.item());
    // Without autocast the copies are not read, and once they are gone autocast casts again.
    noGrad(() => network.conv.weight.div_(3));
    network.autocast_(undefined);
    expect(Math.abs(pass().item() - loss.item())).toBeLessThan(2e-2 * loss.item());
    network.autocast_('bfloat16');
    casts.dispose();
    expect(Math.abs(pass().item() - loss.item())).toBeLessThan(1e-3 * loss.item());
  });
});

test('weights that are narrowed for good give what autocast makes of them, and take half the memory', () => {
  tidy(() => {
    using layer = new nn.Linear(16, 4);
    layer.requiresGrad_(false).autocast_('bfloat16');
    const x = randn([3, 16]);
    const wanted = layer.call(x);
    nn.narrowWeights_(layer, 'bfloat16');
    expect([layer.weight.dtype, layer.bias!.dtype]).toEqual(['bfloat16', 'bfloat16']);
    expect(layer.call(x).sub(wanted).abs().max().item()).toBe(0);
    layer.loadStateDict(
      new Map([...layer.stateDict()].map(([name, value]) => [name, value.to('float32').mul(2)])),
    );
    expect(layer.weight.dtype).toBe('bfloat16');
  });
});

test('maps of 16 bits are resized as float32 maps are, and rounded once', () => {
  tidy(() => {
    const x = randn([2, 3, 4, 5]).to('bfloat16').requiresGrad_();
    const y = nn.interpolate(x, [9, 7]);
    const gradient = randn([2, 3, 9, 7]).to('bfloat16');
    y.mul(gradient).sum().backward();
    const wide = x.detach().to('float32').requiresGrad_();
    const wanted = nn.interpolate(wide, [9, 7]);
    wanted.mul(gradient.to('float32')).sum().backward();
    expect([y.dtype, x.grad!.dtype]).toEqual(['bfloat16', 'bfloat16']);
    expect(y.sub(wanted.to('bfloat16')).abs().max().item()).toBe(0);
    expect(x.grad!.sub(wide.grad!.to('bfloat16')).abs().max().item()).toBe(0);
  });
});
