// Training in several processes.

export { rendezvousFromEnvironment } from './environment.js';
export { GradientReducer } from './gradient-reducer.js';
export { spreadOver } from './modules.js';
export {
  type Backend,
  distributedBackends,
  type GroupOptions,
  ProcessGroup,
  type Rendezvous,
} from './process-group.js';
export { alone, type World } from './world.js';
