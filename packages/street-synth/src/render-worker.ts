// The program of a rendering thread: renders the scenes that it is given, one after the other.
import { serveTasks } from '@pgpc/datasets';
import { writeScene } from './scene-files.js';

serveTasks(writeScene);
