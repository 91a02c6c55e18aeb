/** Finds and loads a native addon that set-up compiled into the cache for a package's folder on this machine. @module @pgpc/addon */

import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/**
 * SHA-256 of the parts, in hexadecimal digits.
 * @param {(string | Uint8Array)[]} parts
 */
export function hash(...parts) {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part).update('\0');
  return digest.digest('hex');
}

/** The folder of compiled addons: PGPC_CACHE, else `pgpc` in XDG_CACHE_HOME or ~/.cache. It may be deleted at any time. */
export function cacheFolder() {
  const { PGPC_CACHE, XDG_CACHE_HOME } = process.env;
  return resolve(PGPC_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'pgpc'));
}

/** The entry of the first core in /proc/cpuinfo: the file as a whole takes long to read where there are many. */
export function firstCore() {
  const buffer = Buffer.alloc(1 << 14);
  const file = openSync('/proc/cpuinfo', 'r');
  const length = readSync(file, buffer);
  closeSync(file);
  return buffer.toString('latin1', 0, length).split('\n\n')[0] ?? '';
}

/**
 * What a compiled addon is good for: the processor, since it uses all of its instructions, and the system, since it needs its
 * C library. A home folder may be shared by machines that differ in both.
 */
export function machine(core = firstCore()) {
  const lasting = /^(vendor_id|cpu family|model|model name|flags|Features|CPU \w+)\s*:/;
  const system = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return hash(
    process.arch,
    ...core.split('\n').filter((line) => lasting.test(line)),
    // An update within a release keeps the C library.
    ...system.split('\n').filter((line) => /^(ID|VERSION_ID)=/.test(line)),
  );
}

/**
 * The link in the cache to the addon that set-up chose for a package's folder. Two projects may use different builds, and a
 * package that was updated needs a new one.
 * @param {string} folder the package's. @param {string} name the addon's.
 */
export function linkOf(folder, name) {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(
    cacheFolder(),
    'links',
    `${name}-${hash(realpathSync(folder), version, machine()).slice(0, 32)}`,
  );
}

/**
 * Loads an addon.
 * @param {string} folder the package's. @param {string} name the addon's.
 * @returns {unknown} what it exports; undefined if set-up has not run for this folder, version and machine.
 * @throws Error if it is there and does not load, say because its libraries were moved or updated.
 */
export function loadAddon(folder, name) {
  const file = join(linkOf(folder, name), `${name}.node`);
  if (!existsSync(file)) return undefined;
  try {
    // By its real path: Node and the loader of libraries know a file by its name.
    return createRequire(import.meta.url)(realpathSync(file));
  } catch (cause) {
    const what = `${file} does not load (${cause instanceof Error ? cause.message : cause})`;
    throw new Error(`${what}: run \`${setupCommand(folder)}\` again`, { cause });
  }
}

/**
 * The command that sets a package up, wherever it is installed.
 * @param {string} folder the package's.
 */
export function setupCommand(folder) {
  const repository = join(folder, '../..');
  if (existsSync(join(repository, 'scripts/setup.mjs'))) return `npm --prefix ${repository} run setup`;
  const isInstalled = [folder, process.cwd()].some((from) => {
    try {
      return createRequire(join(from, 'package.json')).resolve('pgpc/package.json');
    } catch {
      return false;
    }
  });
  if (isInstalled) return 'npx pgpc setup';
  return `npx ${JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name} setup`;
}
