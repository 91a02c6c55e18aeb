// The files of a training's states, by name alone: the command line knows them without libtorch.

/** The newest state. */
export const CHECKPOINT_FILE = 'training.safetensors';
/** The one before it. */
export const PREVIOUS_FILE = 'training.previous.safetensors';
/** A state until it is whole: nothing counts on it. */
export const NEXT_FILE = 'training.next.safetensors';
