// How this project's model files are called, and how their headers say that they are.

/** The model's file in a checkpoint folder. */
export const MODEL_FILE = 'model.safetensors';

/** Under `format` in the header. */
export const MODEL_FORMAT = 'pgpc-segmentor/1';
