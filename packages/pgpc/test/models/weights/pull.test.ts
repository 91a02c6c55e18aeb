// Fetching weights by HTTP: whole, resumed, damaged and refused downloads, against a server on this machine.

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pullWeights } from '../../../src/cli/weights-pull.js';
import { weightsSource } from '../../../src/cli/weights-source.js';
import { catalog, findCatalogEntry } from '../../../src/models/weights/catalog.js';
import { ConnectionError, download, HttpStatusError } from '../../../src/models/weights/download.js';
import { runMain, Sink } from '../../support/command.js';

/** What the server does; each test sets what it needs. */
interface Behaviour {
  content: Buffer;
  /** In place of `content`, by path. */
  contentOf?: (path: string) => Buffer;
  etag: string | undefined;
  /** Answers parts, as RFC 9110 has it. */
  ranges: boolean;
  /** Cuts connections after so many bytes of the body, so many times. */
  cutAfter: number;
  cuts: number;
  /** Status of a path that is not served. */
  refuse: (path: string) => number | undefined;
  /** Sends `/hub/...` on to `/store/...`, with the SHA-256 in the redirect. */
  linkedEtag: string | undefined;
  sizeKnown: boolean;
  /** Sends parts from so many bytes later than asked. */
  shift: number;
}

let server: Server;
let origin: string;
let behaviour: Behaviour;
let requests: { path: string; range: string | undefined }[];
let folder: string;

const content = randomBytes(300_000);
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgpc-pull-'));
  requests = [];
  behaviour = {
    content,
    etag: '"v1"',
    ranges: true,
    cutAfter: 100_000,
    cuts: 0,
    refuse: () => undefined,
    linkedEtag: undefined,
    sizeKnown: true,
    shift: 0,
  };
});
afterEach(() => rmSync(folder, { recursive: true }));

function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url!;
  const { range, 'if-range': ifRange } = request.headers as Record<string, string | undefined>;
  requests.push({ path, range });
  const status = behaviour.refuse(path);
  if (status !== undefined) return void response.writeHead(status).end('no');
  if (behaviour.linkedEtag && !path.startsWith('/store/')) {
    response.writeHead(302, { location: `/store${path}`, 'x-linked-etag': `"${behaviour.linkedEtag}"` });
    return void response.end();
  }
  const { etag, ranges, sizeKnown } = behaviour;
  const content = behaviour.contentOf?.(path) ?? behaviour.content;
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0) + behaviour.shift;
  const partial = ranges && range !== undefined && (ifRange === undefined || ifRange === etag);
  if (partial && start >= content.length) {
    return void response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
  }
  const body = partial ? content.subarray(start) : content;
  response.writeHead(partial ? 206 : 200, {
    ...(etag && { etag }),
    ...(sizeKnown && { 'content-length': body.length }),
    ...(partial && { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` }),
  });
  if (behaviour.cuts === 0) return void response.end(body);
  behaviour.cuts--;
  response.write(body.subarray(0, behaviour.cutAfter), () => setTimeout(() => response.destroy(), 20));
}

const target = (name = 'weights.safetensors') => join(folder, name);
const fetchIt = (options: Partial<Parameters<typeof download>[0]> = {}) =>
  download({ url: `${origin}/file`, path: target(), retries: 0, retryDelay: 1, ...options });
const leftovers = () => [`${target()}.part`, `${target()}.part.json`].filter((path) => existsSync(path));

/** The part that a connection cut on the way leaves. */
async function interrupted(options: Parameters<typeof fetchIt>[0] = {}): Promise<number> {
  behaviour.cuts = 1;
  await expect(fetchIt(options)).rejects.toThrow(ConnectionError);
  expect(existsSync(target())).toBe(false);
  requests = [];
  return statSync(`${target()}.part`).size;
}

describe('download', () => {
  test('a whole file, with progress, and nothing beside it', async () => {
    const seen: [number, number | undefined][] = [];
    const result = await fetchIt({ onProgress: (done, total) => seen.push([done, total]) });
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(result).toEqual({
      bytes: content.length,
      sha256: digest(content),
      checkedAgainst: undefined,
      resumedFrom: 0,
    });
    expect(seen[0]).toEqual([0, content.length]);
    expect(seen.at(-1)).toEqual([content.length, content.length]);
    expect(leftovers()).toEqual([]);
  });

  test('without a size from the server', async () => {
    behaviour.sizeKnown = false;
    expect((await fetchIt()).bytes).toBe(content.length);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a later try resumes where a lost connection stopped', async () => {
    const have = await interrupted();
    expect(have).toBe(behaviour.cutAfter);
    const { resumedFrom, sha256 } = await fetchIt();
    expect(requests).toEqual([{ path: '/file', range: `bytes=${have}-` }]);
    expect([resumedFrom, sha256]).toEqual([have, digest(content)]);
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(leftovers()).toEqual([]);
  });

  test('resumes by itself as often as it may', async () => {
    behaviour.cuts = 2;
    expect((await fetchIt({ retries: 2 })).bytes).toBe(content.length);
    expect(requests.map(({ range }) => range)).toEqual([undefined, 'bytes=100000-', 'bytes=200000-']);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a server without ranges sends the whole again', async () => {
    await interrupted();
    behaviour.ranges = false;
    const { resumedFrom, bytes } = await fetchIt();
    expect([resumedFrom, bytes]).toEqual([0, content.length]);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a file that changed meanwhile is fetched anew', async () => {
    await interrupted();
    behaviour.content = randomBytes(250_000);
    behaviour.etag = '"v2"';
    const { resumedFrom } = await fetchIt();
    expect(resumedFrom).toBe(0);
    expect(readFileSync(target()).equals(behaviour.content)).toBe(true);
  });

  test('a part of unknown version is resumed only where a checksum will tell', async () => {
    behaviour.etag = undefined;
    await interrupted();
    expect((await fetchIt()).resumedFrom).toBe(0);
    rmSync(target());
    const have = await interrupted();
    expect((await fetchIt({ sha256: digest(content) })).resumedFrom).toBe(have);
  });

  test('a part of another address is not resumed', async () => {
    await interrupted();
    expect((await fetchIt({ url: `${origin}/other` })).resumedFrom).toBe(0);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a part that is whole already is only checked', async () => {
    await interrupted();
    writeFileSync(`${target()}.part`, content);
    expect(await fetchIt()).toMatchObject({ bytes: content.length, resumedFrom: content.length });
    expect(requests).toHaveLength(1);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('bytes of another range than the one that was asked for are not appended', async () => {
    await interrupted();
    behaviour.shift = 10;
    await expect(fetchIt()).rejects.toThrow('does not continue the part');
    expect(leftovers()).toEqual([]);
    behaviour.shift = 0;
    await fetchIt();
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a part longer than the file is thrown away', async () => {
    await interrupted();
    writeFileSync(`${target()}.part`, randomBytes(content.length + 5));
    await fetchIt({ retries: 1 });
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test("checks the given checksum, the hub's and the digits in the name, in this order", async () => {
    const path = target(`net-${digest(content).slice(0, 8)}.pth`);
    const named = await fetchIt({ path });
    expect(named.checkedAgainst).toBe('the digits in its name');
    behaviour.linkedEtag = digest(content);
    const linked = await fetchIt({ path: target('net-00000000.pth') });
    expect(linked.checkedAgainst).toBe('the hub’s');
    expect(requests.at(-1)!.path).toBe('/store/file');
    const given = await fetchIt({ sha256: digest(content).toUpperCase() });
    expect(given.checkedAgainst).toBe('the given one');
  });

  test.each([
    ['given', () => fetchIt({ sha256: '0'.repeat(64) }), target],
    [
      "hub's",
      () => {
        behaviour.linkedEtag = 'f'.repeat(64);
        return fetchIt();
      },
      target,
    ],
    ['in the name', () => fetchIt({ path: target('net-12345678.pth') }), () => target('net-12345678.pth')],
  ])('a file that does not have the checksum (%s) is refused and deleted', async (_, act, path) => {
    await expect(act()).rejects.toThrow(`SHA-256 ${digest(content)}`);
    expect([path(), `${path()}.part`, `${path()}.part.json`].some((file) => existsSync(file))).toBe(false);
  });

  test('damage in a part shows in the checksum', async () => {
    await interrupted();
    const part = readFileSync(`${target()}.part`);
    part[17]! ^= 1;
    writeFileSync(`${target()}.part`, part);
    await expect(fetchIt({ sha256: digest(content) })).rejects.toThrow('deleted; try again');
    expect((await fetchIt({ sha256: digest(content) })).resumedFrom).toBe(0);
  });

  test.each([404, 401, 500])('status %d is an error that names the address', async (status) => {
    behaviour.refuse = () => status;
    const attempt = fetchIt({ retries: 3 });
    await expect(attempt).rejects.toThrow(HttpStatusError);
    await expect(attempt).rejects.toThrow(`${origin}/file: ${status}`);
    expect(requests).toHaveLength(1);
    expect(leftovers()).toEqual([]);
  });

  test('endless redirects end', async () => {
    behaviour.linkedEtag = digest(content);
    const loop = createServer((request, response) => {
      response.writeHead(302, { location: request.url! }).end();
    });
    await new Promise<void>((resolve) => loop.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(loop.address() as AddressInfo).port}/a`;
    await expect(fetchIt({ url })).rejects.toThrow('redirects more than 10 times');
    loop.close();
    loop.closeAllConnections();
  });

  test.each([true, false])(
    'no more bytes come than are wanted, with their number known: %s',
    async (sizeKnown) => {
      behaviour.sizeKnown = sizeKnown;
      const fetching = download({ url: `${origin}/a`, path: target(), most: 200_000, retries: 0 });
      await expect(fetching).rejects.toThrow(/has more than the 200000 bytes that are fetched at most/);
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  test('a connection that only trickles counts as lost, and the part stays', async () => {
    const slow = createServer((_, response) => {
      response.writeHead(200, { etag: '"v1"', 'content-length': 300_000 });
      const trickle = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(trickle));
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}/a`;
      const fetching = download({ url, path: target(), patience: 200, retries: 0 });
      await expect(fetching).rejects.toThrow(/the connection was lost after \d+ of 300000 bytes/);
      expect(existsSync(`${target()}.part`)).toBe(true);
    } finally {
      slow.closeAllConnections();
      slow.close();
    }
  });

  test('Ctrl-C stops it and keeps the part', async () => {
    const controller = new AbortController();
    behaviour.cuts = 1;
    const attempt = fetchIt({
      signal: controller.signal,
      retries: 3,
      onProgress: (done) => done > 0 && controller.abort(new Error('stopped')),
    });
    await expect(attempt).rejects.toThrow('stopped');
    expect(statSync(`${target()}.part`).size).toBeGreaterThan(0);
    expect(requests).toHaveLength(1);
  });
});

describe('pgpc weights pull', () => {
  const pgpc = (...args: string[]) => runMain(['weights', 'pull', ...args]);

  test('says the licence, fetches from the hub, and leaves a file that is there', async () => {
    behaviour.linkedEtag = digest(content);
    const { code, out, err } = await pgpc('mit_b0', '--hub', `${origin}/`, '--out', folder);
    const path = join(folder, 'nvidia-mit-b0.safetensors');
    expect([code, out.split('\n')]).toEqual([
      0,
      [
        expect.stringMatching(
          /^nvidia\/mit-b0: licence: NVIDIA .* non-commercial use only .*SegFormer.*LICENSE\)$/,
        ),
        `${path}: 300000 bytes; SHA-256 ${digest(content)} (agrees with the hub’s)`,
        '',
      ],
    ]);
    expect(err).toMatch(/pull mit_b0/);
    expect(requests[0]!.path).toBe('/nvidia/mit-b0/resolve/main/model.safetensors');
    requests = [];
    const again = await pgpc('nvidia/mit-b0', '--hub', origin, '--out', folder);
    expect(again.out).toContain(`${path} is there already`);
    expect(requests).toEqual([]);
  });

  test('takes the older file where the hub has no safetensors', async () => {
    behaviour.refuse = (path) => (path.includes('safetensors') ? 404 : undefined);
    const { code, out, err } = await pgpc('nvidia/mit-b5', '--hub', origin, '--out', folder, '--json');
    expect(code).toBe(0);
    const file = join(folder, 'nvidia-mit-b5.bin');
    expect(err).toContain(`${file}: 300000 bytes`);
    expect(err).toContain('not checked');
    expect(JSON.parse(out)).toMatchObject({
      ...{ outcome: 'finished', name: 'nvidia/mit-b5', licence: { text: expect.stringContaining('NVIDIA') } },
      files: [{ file, bytes: 300_000, sha256: digest(content), resumedFrom: 0 }],
    });
  });

  test('fetches all shards of an index, again what is missing, and the configuration', async () => {
    const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
    const index = Buffer.from(JSON.stringify({ weight_map: { a: first, b: second, c: first } }));
    behaviour.contentOf = (path) => (path.endsWith('index.json') ? index : content.subarray(0, 1000));
    behaviour.refuse = (path) =>
      path.endsWith('/model.safetensors') || path.endsWith(second) ? 404 : undefined;
    const at = (...names: string[]) => join(folder, 'owner-net', ...names);
    const failed = await pgpc('owner/net', '--hub', origin, '--out', folder);
    expect([failed.code, failed.err]).toEqual([
      1,
      expect.stringMatching(/pull again to fetch what is missing\n$/),
    ]);
    behaviour.refuse = () => undefined;
    requests = [];
    const { code, out } = await pgpc('owner/net', '--hub', origin, '--out', folder);
    expect([code, requests.map(({ path }) => path)]).toEqual([0, [`/owner/net/resolve/main/${second}`]]);
    expect(out).toContain(`${at(second)}: 1000 bytes`);
    expect(readdirSync(at()).sort()).toEqual([first, second, 'model.safetensors.index.json']);
    expect((await pgpc('owner/net', '--hub', origin, '--out', folder)).out).toContain('is there already');
    // In one go, with the configuration.
    const whole = mkdtempSync(join(folder, 'whole-'));
    behaviour.refuse = (path) => (path.endsWith('/model.safetensors') ? 404 : undefined);
    expect((await pgpc('owner/net', '--hub', origin, '--out', whole)).code).toBe(0);
    expect(readdirSync(join(whole, 'owner-net'))).toContain('model.safetensors.config.json');
  });

  test('where there is nothing it says how to place the file by hand', async () => {
    behaviour.refuse = () => 404;
    const { code, err } = await pgpc('owner/net', '--hub', origin, '--out', folder);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^pgpc: .*404.*\(the hub has no such file\); by hand: fetch .*pytorch_model\.bin on/m,
    );
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  test('where there is no network it gives address and place in one line', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const hub = `http://127.0.0.1:${port}`;
    const io = {
      signal: new AbortController().signal,
      stdout: new Sink(),
      stderr: new Sink(),
      command: '',
      stage: () => {},
    };
    const options = { name: 'mit_b5', hub, out: folder, sha256: undefined };
    await expect(pullWeights(options, io, () => {})).rejects.toThrow(
      `no connection to 127.0.0.1:${port} (ECONNREFUSED); by hand: fetch ${hub}/nvidia/mit-b5/resolve/main/model.safetensors on another machine, place it as ${join(folder, 'nvidia-mit-b5.safetensors')}, and --weights mit_b5 finds it`,
    );
  });

  test.each([
    [['mit_b9'], /argument|'mit_b9'.*one of .*nvidia\/mit-b0 or mit_b0/],
    [['mit_b0', '--sha256', 'abc'], /--sha256 'abc': must be 64 hexadecimal digits/],
    [['mit_b0', '--hub', 'ftp://x'], /--hub 'ftp:\/\/x': must be an address/],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await pgpc(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  test('a pulled file is found by its name, and a name that is not there says how to get it', () => {
    const before = process.env.PGPC_WEIGHTS;
    process.env.PGPC_WEIGHTS = folder;
    try {
      const path = join(folder, 'resnet101_v1c-e67eebb6.pth');
      const missing = weightsSource.safeParse('resnet101').error!.issues[0]!.message;
      expect(missing).toContain('pgpc weights pull resnet101');
      writeFileSync(path, '');
      expect(weightsSource.parse('resnet101')).toBe(path);
      expect(weightsSource.parse('open-mmlab/resnet101_v1c')).toBe(path);
      expect(weightsSource.parse(path)).toBe(path);
      const unknown = weightsSource.safeParse('mit_b00').error!.issues[0]!.message;
      expect(unknown).toMatch(/no weights are known by this name.*mit_b0/);
    } finally {
      if (before === undefined) delete process.env.PGPC_WEIGHTS;
      else process.env.PGPC_WEIGHTS = before;
    }
  });
});

describe('the catalog', () => {
  test('finds every entry by each of its names, and gives no two files one name', () => {
    for (const entry of catalog) {
      for (const name of [entry.name, ...entry.aliases]) expect(findCatalogEntry(name)).toBe(entry);
    }
    const files = catalog.flatMap(({ sources }) => sources.map(({ file }) => file));
    expect(new Set(files).size).toBe(files.length);
  });

  test.each(['mit_b0/..', '../x', 'a/b/c', '.a/b', 'open-mmlab/other', ''])('%j is no name', (name) => {
    expect(findCatalogEntry(name)).toBeUndefined();
  });

  test.each([
    ['nvidia/segformer-b0-finetuned-ade-512-512', /non-commercial/],
    ['someone/net', /unknown: check/],
  ])('%s is a repository of the hub', (name, licence) => {
    const { sources, licence: its } = findCatalogEntry(name)!;
    expect(sources[0]!.path).toBe(`${name}/resolve/main/model.safetensors`);
    expect(its.text).toMatch(licence);
  });
});
