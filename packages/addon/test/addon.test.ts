// The cache of compiled addons, with an addon of one function.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAddon, machine } from '@pgpc/addon';
import { compileAddon, refuseLacks } from '@pgpc/addon/build';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const work = mkdtempSync(join(tmpdir(), 'pgpc-addon-'));
const original = join(work, 'original');
const cache = join(work, 'cache');

const source = (answer: number) => `
#include <napi.h>
Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("answer", Napi::Number::New(env, ${answer}));
  return exports;
}
NODE_API_MODULE(small, Init)
`;
const recipe = `
cmake_minimum_required(VERSION 3.18)
project(small CXX)
set(CMAKE_CXX_STANDARD 17)
add_library(small SHARED native/small.cpp)
set_target_properties(small PROPERTIES PREFIX "" SUFFIX ".node" LIBRARY_OUTPUT_DIRECTORY \${CMAKE_BINARY_DIR})
target_include_directories(small SYSTEM PRIVATE \${NODE_API_INCLUDE_DIRS})
`;

function writePackage(folder: string, version: string, answer: number): void {
  mkdirSync(join(folder, 'native'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'small', version }));
  writeFileSync(join(folder, 'CMakeLists.txt'), recipe);
  writeFileSync(join(folder, 'native/small.cpp'), source(answer));
}

function copyOf(name: string): string {
  const folder = join(work, name);
  cpSync(original, folder, { recursive: true });
  return folder;
}

/** Sets a folder up. @returns what was said. */
async function setUp(folder: string): Promise<string[]> {
  const said: string[] = [];
  await compileAddon({ folder, name: 'small', what: 'a small addon' }, { say: (text) => said.push(text) });
  return said;
}

const load = (folder: string) => loadAddon(folder, 'small') as { answer: number } | undefined;

beforeAll(async () => {
  process.env.PGPC_CACHE = cache;
  writePackage(original, '1.0.0', 42);
  expect(load(original)).toBeUndefined();
  expect(await setUp(original)).toEqual(['building a small addon']);
});

afterAll(() => {
  delete process.env.PGPC_CACHE;
  rmSync(work, { recursive: true, force: true });
});

describe('an addon', () => {
  test('loads after set-up, which then has nothing to do', async () => {
    expect(load(original)).toEqual({ answer: 42 });
    expect(await setUp(original)).toEqual([]);
  });

  test('is shared by packages with the same sources, each set up on its own', async () => {
    const other = copyOf('other');
    expect(load(other)).toBeUndefined();
    expect(await setUp(other)).toEqual([]);
    expect(load(other)).toBe(load(original));
  });

  test('is another where the sources are', async () => {
    const changed = copyOf('changed');
    writeFileSync(join(changed, 'native/small.cpp'), source(43));
    expect(await setUp(changed)).toEqual(['building a small addon']);
    expect([load(changed), load(original)]).toEqual([{ answer: 43 }, { answer: 42 }]);
  });

  test('is asked for again after the folder was moved or the package updated', async () => {
    const before = copyOf('before');
    await setUp(before);
    const after = join(work, 'after');
    renameSync(before, after);
    expect(load(after)).toBeUndefined();
    expect(await setUp(after)).toEqual([]);
    writePackage(after, '1.0.1', 42);
    expect(load(after)).toBeUndefined();
  });

  test('is compiled again after the cache was deleted, by two set-ups at once', async () => {
    rmSync(cache, { recursive: true });
    const folders = [copyOf('one'), original];
    expect(folders.map(load)).toEqual([undefined, undefined]);
    await Promise.all(folders.map(setUp));
    expect(folders.map((folder) => load(folder)?.answer)).toEqual([42, 42]);
    expect(readdirSync(join(cache, 'addons'))).toHaveLength(1);
    expect(readdirSync(join(cache, 'links'))).toHaveLength(2);
  });

  test('that does not load is named with what helps', async () => {
    const broken = copyOf('broken');
    writeFileSync(join(broken, 'native/small.cpp'), source(44));
    const built = await compileAddon({ folder: broken, name: 'small', what: 'a small addon' });
    writeFileSync(join(built, 'small.node'), 'no library');
    expect(() => load(broken)).toThrow(/small\.node does not load \(.*\): run `npx pgpc setup` again$/s);
  });

  test('that does not compile is told with the place, and leaves nothing', async () => {
    const wrong = copyOf('wrong');
    writeFileSync(join(wrong, 'native/small.cpp'), 'int wrong() { return here; }');
    const before = readdirSync(join(cache, 'addons'));
    await expect(setUp(wrong)).rejects.toThrow(/small\.cpp:1:22: error/);
    expect(readdirSync(join(cache, 'addons'))).toEqual(before);
    expect(load(wrong)).toBeUndefined();
  });
});

test('machines are one where model and instructions are, whatever the clock', () => {
  const core = (flags: string, clock: number) =>
    `processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: ${clock}\nflags\t\t: ${flags}\n`;
  expect(machine(core('avx2 fma', 2500))).toBe(machine(core('avx2 fma', 900)));
  expect(machine(core('avx2 fma', 2500))).not.toBe(machine(core('avx2 fma avx512f', 2500)));
  expect(machine()).toBe(machine());
});

test('what is lacking is told in two lines, and what is optional only remarked on', () => {
  const said: string[] = [];
  const optional = { why: 'no libdeflate', packages: ['libdeflate-dev'], isOptional: true };
  refuseLacks([optional], (text) => said.push(text));
  expect(said).toEqual([
    'no libdeflate (Debian and Ubuntu: apt-get install --no-install-recommends libdeflate-dev)',
  ]);
  const needed = { why: 'no libtorch was found', packages: ['libtorch-dev'], otherwise: 'pip install torch' };
  expect(() => refuseLacks([optional, needed], () => {})).toThrow(
    'no libtorch was found.\n' +
      'On Debian and Ubuntu, as root: apt-get install --no-install-recommends libtorch-dev; or pip install torch.',
  );
});
