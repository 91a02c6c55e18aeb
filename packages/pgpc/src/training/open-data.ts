// Opening the data of a training with somebody who is told how far it is.

import type { DatasetFault } from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import { BadFilesError, type OpenDataOptions, type OpenedData, openData } from './data.js';

/** What opening data tells: images that are checked, a stage at a time, and the files that are bad. */
export type OpenEvent =
  | { kind: 'data'; stage: string; done: number; total: number }
  | { kind: 'bad-files'; faults: readonly DatasetFault[] };

/** {@link openData}, telling of it. @throws as it does. */
export async function openTelling(
  config: DataConfig,
  options: Omit<OpenDataOptions, 'onProgress'>,
  onEvent: (event: OpenEvent) => void,
): Promise<OpenedData> {
  try {
    const onProgress = (stage: string, done: number, total: number) =>
      onEvent({ kind: 'data', stage, done, total });
    return await openData(config, { ...options, onProgress });
  } catch (error) {
    if (error instanceof BadFilesError) onEvent({ kind: 'bad-files', faults: error.faults });
    throw error;
  }
}
