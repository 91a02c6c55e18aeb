// The program of the tests of collectives: one rank. Does what its arguments say and prints what it saw as JSON.
// Runs what `tsc -b` built; the rank is in the environment, as torchrun has it.

import {
  Generator,
  GradientReducer,
  nn,
  ProcessGroup,
  randn,
  rendezvousFromEnvironment,
  spreadOver,
  tensor,
  tidy,
} from '../../dist/index.js';

const { RANK, WORLD_SIZE, TIMEOUT = '30' } = process.env;
const rank = Number(RANK);
const size = Number(WORLD_SIZE);
const attempt = (fn) => {
  try {
    return fn();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

/** Values that differ by rank: the same generator everywhere, and this rank's part of what it draws. */
function global(shape, dtype = 'float64') {
  const generator = new Generator(shape.length);
  return randn(shape, { generator, dtype });
}

const programs = {
  collectives(group) {
    const x = tensor([rank + 1, 10 * (rank + 1)]);
    const y = tensor([[rank], [rank + 10]]);
    const rows = tensor(Array.from({ length: 2 * size }, (_, i) => [2 * i, 2 * i + 1]));
    // Not contiguous: what the engine writes has to come back into the strides.
    const turned = tensor([
      [rank, 1],
      [2, 3],
    ]).t();
    const count = tensor(2 ** 40 + rank, { dtype: 'int64' });
    const seen = {
      sum: group.sum(x).tolist(),
      mean: group.mean(x).tolist(),
      max: group.max(x).tolist(),
      count: group.sum(count).tolist(),
      untouched: x.tolist(),
      gather0: group.gather(y).tolist(),
      gather1: group.gather(y, 1).tolist(),
      part0: group.part(rows).tolist(),
      odd: attempt(() => group.part(tensor([1, 2, 3, 4, 5]))),
    };
    group.broadcast_([turned, count], size - 1);
    group.barrier();
    return { ...seen, broadcast: turned.tolist(), from: count.tolist() };
  },

  batchNorm(group) {
    const whole = global([2 * size, 3, 4, 5]);
    const towards = global([2 * size, 3, 4, 5]).mul(whole.sin());
    const run = (world, input, direction) => {
      const norm = new nn.BatchNorm2d(3).to({ dtype: 'float64' });
      norm.loadStateDict(
        new Map([
          ['weight', tensor([0.5, 2, -1])],
          ['bias', tensor([1, 0, 3])],
        ]),
        { strict: false },
      );
      if (world) spreadOver(world, norm);
      const x = input.detach().requiresGrad_();
      const out = norm.call(x);
      const reducer = world && new GradientReducer(world, norm.parameters());
      // The mean over the ranks of the losses of equal parts is the loss of the whole.
      const loss = out.mul(direction).mean();
      reducer?.prepare(loss);
      loss.backward();
      reducer?.dispose();
      const part = world ? (t) => t : (t) => group.part(t);
      return {
        out: part(out),
        // Each rank's loss is over its part alone: size times as steep.
        input: part(x.grad).mul(world ? 1 / size : 1),
        weight: norm.weight.grad,
        bias: norm.bias.grad,
        mean: norm.runningMean,
        variance: norm.runningVar,
        unlike: (world ? group.part(whole) : whole).mean([0, 2, 3]),
      };
    };
    const apart = run(group, group.part(whole), group.part(towards));
    const one = run(undefined, whole, towards);
    return Object.fromEntries(
      Object.keys(one).map((name) => [name, apart[name].sub(one[name]).abs().max().item()]),
    );
  },

  reducer(group) {
    const [a, b, unused] = [1, 2, 3].map((x) => tensor([x, x]).requiresGrad_());
    const reducer = new GradientReducer(group, [a, b, unused], 8);
    const seen = [];
    for (let step = 0; step < 3; step++) {
      // This pass reaches `b` on no rank and is not exchanged by itself.
      tidy(() =>
        a
          .mul(rank + 1)
          .sum()
          .backward(),
      );
      tidy(() => {
        const loss = a
          .mul(10 * (rank + 1))
          .sum()
          .add(step === 0 ? 0 : b.mul(rank).sum());
        reducer.prepare(loss);
        loss.backward();
      });
      seen.push([a, b, unused].map(({ grad }) => grad?.tolist() ?? null));
      for (const parameter of [a, b, unused]) parameter.grad = null;
    }
    reducer.dispose();
    return { seen, disposed: attempt(() => reducer.prepare(a.sum())) };
  },

  dropout(group) {
    const run = (world, x) => {
      const generator = new Generator(5);
      const drop = new nn.Dropout2d(0.5, { generator });
      if (world) spreadOver(world, drop);
      return drop.call(x);
    };
    const whole = global([2 * size, 8, 1, 1]);
    const apart = run(group, group.part(whole));
    return {
      difference: apart
        .sub(group.part(run(undefined, whole)))
        .abs()
        .max()
        .item(),
      zeros: apart.eq(0).sum().item(),
    };
  },

  twice() {
    return attempt(() => new ProcessGroup(rendezvousFromEnvironment()));
  },

  die(group) {
    group.barrier();
    if (rank === size - 1) process.kill(process.pid, 'SIGKILL');
    const began = performance.now();
    const error = attempt(() => {
      for (;;) group.sum(tensor([1]));
    });
    return {
      error,
      seconds: (performance.now() - began) / 1000,
      after: attempt(() => group.dispose()) ?? 'left',
    };
  },

  left(group) {
    group.dispose();
    group.dispose();
    return attempt(() => group.sum(tensor([1])));
  },
};

const group = attempt(() => new ProcessGroup(rendezvousFromEnvironment(), { timeout: Number(TIMEOUT) }));
const names = process.argv.slice(2);
const result =
  typeof group === 'string' ? group : Object.fromEntries(names.map((name) => [name, programs[name](group)]));
process.stdout.write(JSON.stringify(result), () => process.exit(0));
