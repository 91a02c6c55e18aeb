// The generated halves of the bridge's protocol are what native/protocol.json says, and the addon exports all of it.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { native } from '../src/native.js';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

interface Section {
  if?: string;
  functions: Record<string, unknown>;
  bare?: Record<string, unknown>;
}

test('what is checked in is what the generator writes', () => {
  const { status, stderr } = spawnSync(process.execPath, [path('scripts/generate-protocol.mjs'), '--check'], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

test('the addon exports the functions of the protocol and no others', () => {
  const { functions } = JSON.parse(readFileSync(path('native/protocol.json'), 'utf8')) as {
    functions: Section[];
  };
  const there = functions.filter((section) => section.if === undefined || native.cudaFeatures());
  const names = there.flatMap((section) => Object.keys({ ...section.bare, ...section.functions }));
  expect(Object.keys(native).sort()).toEqual(names.sort());
});
