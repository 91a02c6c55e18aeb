// Street-synth: procedural driving scenes in two domains, the data the project carries with it.
export type { Domain } from './domains.js';
export { type RenderedScene, renderScene, type SceneRequest } from './render.js';
export {
  STREET_SYNTH_VERSION,
  type StreetSynthFolders,
  type StreetSynthOptions,
  streetSynthFolders,
  writeStreetSynth,
} from './write.js';
