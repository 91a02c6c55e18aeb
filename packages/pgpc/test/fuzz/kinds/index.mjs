// The kinds of input, by name. Each is loaded where it is read: most need no libtorch.
//
// `make(random)` gives an input's files, `read(folder, random)` reads them by all functions that read such files, and says
// whether one of them took it; what they must not do is thrown as a `Fault`.

export const kinds = {
  png: async () => (await import('./png.mjs')).png,
  pictures: async () => (await import('./pictures.mjs')).pictures,
  safetensors: async () => (await import('./safetensors.mjs')).safetensors,
  pth: async () => (await import('./pth.mjs')).pth,
  classes: async () => (await import('./classes.mjs')).classes,
  lists: async () => (await import('./lists.mjs')).lists,
  run: async () => (await import('./run.mjs')).run,
  config: async () => (await import('./config.mjs')).config,
};
