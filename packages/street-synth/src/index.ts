/** Procedural driving scenes in two domains, the data the project carries with it. @module @pgpc/street-synth */

export type { Domain } from './domains.js';
export { type RenderedScene, renderScene, type SceneRequest } from './render.js';
export {
  STREET_SYNTH_VERSION,
  type StreetSynthFolders,
  type StreetSynthOptions,
  streetSynthFolders,
  writeStreetSynth,
} from './write.js';
