// Into what other forms a run's log is written, for tools that people have.

/** `csv`: a table for spreadsheets and data frames; `tensorboard`: event files. */
export const LOG_FORMATS = ['csv', 'tensorboard'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];
