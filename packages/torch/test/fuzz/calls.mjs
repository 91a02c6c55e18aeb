// Makes calls, one after the other, in the process that it is started in: node calls.mjs PLAN LOG. Before each call the log
// says which it is. Runs what `tsc -b` built.

import { openSync, readFileSync, writeSync } from 'node:fs';
import { describe, vary } from './arguments.mjs';
import { Random, seedOf } from './random.mjs';
import { makerOf, read, written } from './values.mjs';

const [planFile, logFile] = process.argv.slice(2);
const plan = read(readFileSync(planFile, 'utf8'));
const torch = await import('../../dist/index.js');
const { native } = await import('../../dist/native.js');
const { unsafeOperators } = await import('../../dist/unsafe-ops.js');
const { guards } = await import('../../dist/argument-guards.js');
if (plan.isOpen) {
  unsafeOperators.clear();
  guards.clear();
}
const { ops, Tensor, tidy, liveTensors } = torch;
torch.setNumThreads(1);

const file = openSync(logFile, 'w+');
const argumentsOf = makerOf(torch);
const counts = { calls: 0, returned: 0, typeError: 0, torchError: 0, backward: 0 };
const { libtorch } = torch.buildInfo();
const before = liveTensors();
if (plan.calls) replay(plan.calls);
else blocks();
console.log(JSON.stringify({ ...counts, live: liveTensors() - before, libtorch }));

function blocks() {
  const forms = formsOf(plan);
  const dead = new Set(plan.dead);
  for (let block = plan.from; block < plan.to; block++) {
    const form = forms[block % forms.length];
    if (dead.has(form.qualified)) continue;
    const random = new Random(seedOf(`${plan.seed} ${form.name} ${Math.floor(block / forms.length)}`));
    const ran = [];
    for (let i = 0; i < plan.per; i++) {
      const described =
        ran.length > 0 && random.chance(0.7)
          ? vary(random.pick(ran), form.overload, random)
          : describe(form.overload, random);
      note(block, form.name, described);
      if (make(form, described)) ran.push(described);
    }
  }
}

function replay(calls) {
  const byName = new Map(formsOf({ seed: 0, operators: [] }).map((form) => [form.name, form]));
  for (const [i, { name, call }] of calls.entries()) {
    const form = byName.get(name);
    // Versions of libtorch differ in a few.
    if (form === undefined) continue;
    note(i, name, call);
    make(form, call);
  }
}

/** Every form of every operator, in an order of the seed's. */
function formsOf({ seed, operators }) {
  const wanted = new Set(operators);
  const forms = native
    .operatorNames()
    .map(([qualified]) => qualified)
    .filter((qualified) => wanted.size === 0 || wanted.has(qualified))
    .sort()
    .flatMap((qualified) =>
      native.lookup(qualified).map((overload) => ({
        qualified,
        name: overload.overload === '' ? qualified : `${qualified}.${overload.overload}`,
        overload,
      })),
    );
  return new Random(seed).shuffle(forms);
}

function note(place, name, call) {
  const counted = Object.values(counts).join(' ');
  writeSync(file, `${place} ${name} ${libtorch} ${counted}\n${written(call)}\n`, 0);
}

/** @returns whether it ran */
function make({ name, overload }, { values, grad }) {
  torch.manualSeed(1);
  counts.calls++;
  let hasRun = false;
  tidy(() => {
    try {
      const result = ops.call(name, ...argumentsOf(overload, values));
      counts.returned++;
      hasRun = true;
      const results = [result].flat().filter((value) => value instanceof Tensor);
      for (const value of results.slice(0, 100)) inspect(value);
      if (grad > 0) differentiate(results, grad);
    } catch (error) {
      if (error.name === 'TorchError') counts.torchError++;
      else if (error instanceof TypeError) counts.typeError++;
      else throw error;
    }
  });
  return hasRun;
}

/** Reads what a result says of itself, and its elements where they have a form here. */
function inspect(value) {
  String(value);
  if (value.numel < 1e4) {
    try {
      value.toArray();
    } catch {}
  }
}

function differentiate(results, times) {
  const value = results.find((result) => result.requiresGrad && result.numel < 1e5);
  if (value === undefined) return;
  const loss = value.sum();
  counts.backward++;
  for (let n = 0; n < times; n++) loss.backward(null, { retainGraph: true, createGraph: n + 1 < times });
}
