// Modules that hold other modules: in sequence, in a list, by name.

import type { Tensor } from '../tensor.js';
import { Module } from './module.js';
import { StateModule } from './state-module.js';

/** Runs modules one after the other; their names are their positions. */
export class Sequential extends Module {
  readonly layers: readonly Module[];

  constructor(...layers: Module[]) {
    super();
    this.layers = layers.map((layer, index) => this.named(String(index), layer));
  }

  /** Disposes each layer's output as soon as the next layer has used it. */
  forward(input: Tensor): Tensor {
    let x = input;
    for (const layer of this.layers) {
      const y = layer.call(x);
      if (x !== y && x !== input) x.dispose();
      x = y;
    }
    return x;
  }
}

/** A list of modules for the parent to call one by one; their names are their positions. */
export class ModuleList<M extends StateModule> extends StateModule implements Iterable<M> {
  readonly items: readonly M[];

  constructor(items: Iterable<M>) {
    super();
    this.items = Array.from(items, (item, index) => this.named(String(index), item));
  }

  get length(): number {
    return this.items.length;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.items[Symbol.iterator]();
  }
}

/** Modules by name, for the parent to call one by one. */
export class ModuleDict<Items extends Readonly<Record<string, StateModule>>> extends StateModule {
  readonly items: Items;

  constructor(items: Items) {
    super();
    this.items = items;
    for (const [name, item] of Object.entries(items)) this.named(name, item);
  }
}
