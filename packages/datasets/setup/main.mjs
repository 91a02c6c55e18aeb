#!/usr/bin/env node
// `npx @pgpc/datasets setup`: builds the decoder of PNG files for those who use this package alone.

import { setUpFromCommandLine } from '@pgpc/addon/build';
import { setUp } from './index.mjs';

await setUpFromCommandLine('@pgpc/datasets', setUp);
