// The thread of a dashboard beside a training, whose own thread is inside of a step.

import { parentPort, workerData } from 'node:worker_threads';
import { type DashboardOptions, startDashboard } from './server.js';

try {
  const { address } = await startDashboard({
    ...(workerData as Pick<DashboardOptions, 'roots'>),
    onLeftOut: (link) => parentPort!.postMessage({ leftOut: link }),
  });
  parentPort!.postMessage({ address });
} catch (error) {
  parentPort!.postMessage({ error: (error as Error).message });
}
