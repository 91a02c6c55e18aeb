// A map of features: rows of many numbers as points of a plane.

import { PCA } from 'ml-pca';
import { UMAP } from 'umap-js';

/** What is mapped: `placed` make the map, `moved` are put into it afterwards. */
export interface MapTask {
  readonly placed: readonly ArrayLike<number>[];
  readonly moved: readonly ArrayLike<number>[];
}

export type Point = readonly [x: number, y: number];

export interface FeatureMap {
  readonly placed: readonly Point[];
  readonly moved: readonly Point[];
}

/** UMAP's usual numbers, with fewer rounds than the 500 that it takes for so few points: they change little of the picture. */
const NEIGHBOURS = 15;
const SPREAD = 0.1;
const ROUNDS = 300;

/** The two directions in which the rows differ most, by PCA; no row: no point. */
export function byVariance({ placed, moved }: MapTask): FeatureMap {
  const [rows, others] = [asLists(placed), asLists(moved)];
  if (rows.length < 2) return { placed: rows.map(() => [0, 0]), moved: others.map(() => [0, 0]) };
  const pca = new PCA(rows, { method: 'covarianceMatrix' });
  const points = (lists: number[][]) =>
    lists.length === 0 ? [] : pca.predict(lists, { nComponents: 2 }).to2DArray();
  return { placed: points(rows).map(planar), moved: points(others).map(planar) };
}

/**
 * Rows that are alike side by side, by UMAP; the same rows give the same map.
 * @returns undefined of too few rows for a neighbourhood.
 */
export function byNeighbours({ placed, moved }: MapTask): FeatureMap | undefined {
  if (placed.length <= NEIGHBOURS) return undefined;
  const umap = new UMAP({ nNeighbors: NEIGHBOURS, minDist: SPREAD, nEpochs: ROUNDS, random: sequence() });
  const points = umap.fit(asLists(placed));
  const later = moved.length === 0 ? [] : umap.transform(asLists(moved));
  return { placed: points.map(planar), moved: later.map(planar) };
}

const asLists = (rows: MapTask['placed']) => rows.map((row) => Array.from(row));
const planar = ([x = 0, y = 0]: readonly number[]): Point => [x, y];

/** The same numbers in 0 .. 1 every time, as random as a picture needs: Numerical Recipes' generator. */
function sequence(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
