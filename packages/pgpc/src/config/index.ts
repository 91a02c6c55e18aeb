// The configuration of a run: schemas, defaults and the choices that have names. Imports zod alone.

export * from './contrast.js';
export * from './data.js';
export * from './denoise.js';
export * from './experiment.js';
export * from './feature-distance.js';
export { type Field, field, fieldsOf } from './fields.js';
export * from './loss-weights.js';
export * from './masked-consistency.js';
export * from './method.js';
export * from './multi-resolution.js';
export { describeParts, type PartOptions, registeredParts } from './parts.js';
export * from './precision.js';
export * from './rare-classes.js';
export * from './scores.js';
export * from './segmentor.js';
export * from './self-training.js';
export * from './settings.js';
export * from './style.js';
export * from './training.js';
export * from './usage-error.js';
