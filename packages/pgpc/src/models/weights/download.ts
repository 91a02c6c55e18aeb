// Fetches one large file by HTTP: resumes where an earlier try stopped, checks the SHA-256, and only then names it.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/** Options of {@link download}. */
export interface DownloadOptions {
  readonly url: string;
  /** Where the file goes; until it is whole and checked it is `<path>.part`. */
  readonly path: string;
  /** The SHA-256 that it must have, 64 hexadecimal digits. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that are there, and the file's size where the server says it. */
  readonly onProgress?: (done: number, total: number | undefined) => void;
  /** How often to resume after a lost connection, and the milliseconds before it. Default: 3 times, 1000. */
  readonly retries?: number;
  readonly retryDelay?: number;
  /** The most bytes that are fetched. Default: 2^34. */
  readonly most?: number;
  /** A connection that gives less than 64 KiB in so many milliseconds counts as lost. Default: 60,000. */
  readonly patience?: number;
}

/** What {@link download} did. */
export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  /** What the SHA-256 was compared with; undefined: nothing was known to compare with. */
  readonly checkedAgainst: ChecksumSource | undefined;
  /** Bytes that were there from an earlier try. */
  readonly resumedFrom: number;
}

export type ChecksumSource = 'the given one' | 'the hub’s' | 'the digits in its name';

/** The server answered, but not with the file. */
export class HttpStatusError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** No connection to the server, or it was lost on the way; a later try may resume. */
export class ConnectionError extends Error {}

/** Lost on the way, so that trying again at once is worth it. */
class ConnectionLost extends ConnectionError {}

/** What must be the same for a part to be resumed. */
interface PartState {
  readonly url: string;
  /** ETag or date of the version that the part is of; null if the server gives neither. */
  readonly validator: string | null;
  readonly expected: string | null;
}

const MOST_REDIRECTS = 10;
/** Many times the largest network that is read here. */
const MOST_BYTES = 2 ** 34;
const LEAST_BYTES = 2 ** 16;

/**
 * Fetches `url` into `path`. A part that an earlier try left is resumed if the server still has that version (HTTP
 * Range and If-Range, RFC 9110, sections 13.1.5 and 14.2), and fetched anew if not. The SHA-256 must be the given
 * one; else that in the HuggingFace hub's `X-Linked-Etag`; else the one whose first eight digits end the file's name,
 * as in `resnet101_v1c-e67eebb6.pth`.
 *
 * @throws HttpStatusError if the server refuses; ConnectionError if it cannot be reached or the connection is lost more
 * often than `retries` says (the part stays); Error if it is larger than `most`, and if the checksum differs (the part is deleted); the signal's reason
 */
export async function download(options: DownloadOptions): Promise<Downloaded> {
  const { retries = 3, retryDelay = 1000, signal } = options;
  await mkdir(dirname(options.path), { recursive: true });
  let reached = false;
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptDownload(options);
    } catch (error) {
      signal?.throwIfAborted();
      reached ||= error instanceof ConnectionLost;
      if (!(error instanceof ConnectionError && reached) || attempt >= retries) throw error;
      await wait(retryDelay * 2 ** attempt, undefined, { signal });
    }
  }
}

async function attemptDownload(options: DownloadOptions): Promise<Downloaded> {
  const { url, path, signal } = options;
  const part = `${path}.part`;
  const state = await readState(path);
  // Without a validator a changed file shows only in a checksum.
  const usable =
    state?.url === url && (state.validator !== null || (options.sha256 ?? state.expected) !== null);
  const have = usable ? await sizeOf(part) : 0;
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (have > 0) {
    headers.range = `bytes=${have}-`;
    if (state!.validator) headers['if-range'] = state!.validator;
  }
  const { response, linkedEtag } = await request(url, headers, signal);
  const offset = await startOf(response, have, path, url);
  const checksum = expectedChecksum(options.sha256, linkedEtag, response.headers.get('etag'), path);
  const remote = Number(response.headers.get('content-length') ?? Number.NaN);
  const total = offset === 'whole' ? have : Number.isFinite(remote) ? offset + remote : undefined;
  const { most = MOST_BYTES, patience = 60_000 } = options;
  if (total !== undefined && total > most) {
    await response.body?.cancel();
    throw tooLarge(url, most);
  }
  const validator = strongEtag(response.headers.get('etag')) ?? response.headers.get('last-modified');
  await writeFile(
    `${path}.part.json`,
    JSON.stringify({ url, validator, expected: checksum?.digits ?? null } satisfies PartState),
  );
  const resumedFrom = offset === 'whole' ? have : offset;
  const hash = createHash('sha256');
  const file = await open(part, resumedFrom > 0 ? 'r+' : 'w');
  let done = resumedFrom;
  try {
    if (resumedFrom > 0) for await (const chunk of createReadStream(part)) hash.update(chunk);
    if (offset !== 'whole')
      done = await append(response, file, hash, done, total, { ...options, most, patience });
    await file.sync();
  } finally {
    await file.close();
  }
  const sha256 = hash.digest('hex');
  if (checksum && !sha256.startsWith(checksum.digits)) {
    await forget(path);
    throw new Error(
      `${url} came with the SHA-256 ${sha256}, but ${checksum.source} is ${checksum.digits}: deleted; try again, and if it stays so the file is not the one expected`,
    );
  }
  await rename(part, path);
  await rm(`${path}.part.json`, { force: true });
  return { bytes: done, sha256, checkedAgainst: checksum?.source, resumedFrom };
}

/** Where the response's bytes belong, or `whole` if the part has them all. */
async function startOf(
  response: Response,
  have: number,
  path: string,
  url: string,
): Promise<number | 'whole'> {
  if (response.status === 200) return 0;
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
  if (response.status === 206 && range?.[1] !== undefined && Number(range[1]) === have) return have;
  await response.body?.cancel();
  if (response.status === 416 && range && Number(range[2]) === have) return 'whole';
  if (response.status === 206 || response.status === 416) {
    await forget(path);
    throw new ConnectionLost(`${url}: the server's range does not continue the part that is here`);
  }
  throw new HttpStatusError(response.status, `${url}: ${response.status} ${response.statusText}`.trim());
}

async function append(
  response: Response,
  file: FileHandle,
  hash: Hash,
  start: number,
  total: number | undefined,
  { url, path, signal, onProgress, most, patience }: DownloadOptions & { most: number; patience: number },
): Promise<number> {
  let done = start;
  onProgress?.(done, total);
  const reader = response.body!.getReader();
  let before = start;
  let slow = false;
  const clock = setInterval(() => {
    slow = done - before < LEAST_BYTES;
    before = done;
    if (slow) void reader.cancel();
  }, patience);
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const chunk = read.value;
      if (done + chunk.length > most) {
        await reader.cancel();
        await forget(path);
        throw tooLarge(url, most);
      }
      hash.update(chunk);
      await file.write(chunk, 0, chunk.length, done);
      done += chunk.length;
      onProgress?.(done, total);
    }
  } catch (error) {
    signal?.throwIfAborted();
    // Only the socket's faults come as TypeError; a full disk must not be tried again.
    if (!(error instanceof TypeError)) throw error;
    throw lost(url, done, total, error);
  } finally {
    clearInterval(clock);
  }
  if (slow) throw lost(url, done, total);
  if (total !== undefined && done < total) throw lost(url, done, total);
  return done;
}

function tooLarge(url: string, most: number): Error {
  return new Error(`${url} has more than the ${most} bytes that are fetched at most`);
}

function lost(url: string, done: number, total: number | undefined, cause?: Error): ConnectionLost {
  const of = total === undefined ? '' : ` of ${total}`;
  return new ConnectionLost(
    `${url}: the connection was lost after ${done}${of} bytes; run it again to resume`,
    {
      cause,
    },
  );
}

async function request(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<{ response: Response; linkedEtag: string | null }> {
  let linkedEtag: string | null = null;
  let at = new URL(url);
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    const response = await reach(at, headers, signal);
    // The hub says the SHA-256 in its redirect to the storage, not in the storage's own answer.
    linkedEtag ??= response.headers.get('x-linked-etag');
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return { response, linkedEtag };
    await response.body?.cancel();
    const next = new URL(location, at);
    if (at.protocol === 'https:' && next.protocol !== 'https:') {
      throw new HttpStatusError(
        response.status,
        `${url} redirects to ${next.origin}, which is not encrypted`,
      );
    }
    at = next;
  }
  throw new HttpStatusError(310, `${url} redirects more than ${MOST_REDIRECTS} times`);
}

async function reach(
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  try {
    return await fetch(url, { headers, redirect: 'manual', signal: signal ?? null });
  } catch (error) {
    signal?.throwIfAborted();
    const { code, message } = ((error as Error).cause ?? error) as { code?: string; message: string };
    throw new ConnectionError(`no connection to ${url.host} (${code ?? message})`, { cause: error });
  }
}

function expectedChecksum(
  given: string | undefined,
  linkedEtag: string | null,
  etag: string | null,
  path: string,
): { digits: string; source: ChecksumSource } | undefined {
  if (given !== undefined) return { digits: given.toLowerCase(), source: 'the given one' };
  const hub = [linkedEtag, etag].map((tag) => /^"?([0-9a-f]{64})"?$/.exec(tag ?? '')?.[1]).find(Boolean);
  if (hub) return { digits: hub, source: 'the hub’s' };
  const digits = /-([0-9a-f]{8})\.\w+$/.exec(basename(path))?.[1];
  return digits === undefined ? undefined : { digits, source: 'the digits in its name' };
}

/** If-Range takes no weak ETag. */
function strongEtag(etag: string | null): string | null {
  return etag?.startsWith('"') ? etag : null;
}

async function readState(path: string): Promise<PartState | undefined> {
  try {
    return JSON.parse(await readFile(`${path}.part.json`, 'utf8')) as PartState;
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

async function forget(path: string): Promise<void> {
  await rm(`${path}.part`, { force: true });
  await rm(`${path}.part.json`, { force: true });
}
