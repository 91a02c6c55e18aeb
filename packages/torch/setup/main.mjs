#!/usr/bin/env node
// `npx @pgpc/torch setup`: builds the bridge for those who use this package alone.

import { setUpFromCommandLine } from '@pgpc/addon/build';
import { setUp } from './index.mjs';

await setUpFromCommandLine('@pgpc/torch', setUp);
