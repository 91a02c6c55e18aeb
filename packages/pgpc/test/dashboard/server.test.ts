// The dashboard's server, asked over HTTP: who is answered, what is served, and how a run under way grows.

import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ConfigDiff, MetricsPart, RunList } from '../../src/dashboard/protocol.js';
import { type Dashboard, startDashboard } from '../../src/dashboard/server.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { addContrast } from '../support/fake-contrast.js';
import { writeFakeRun } from '../support/fake-run.js';

let root: string;
let served: Dashboard;
const leftOut: string[] = [];

beforeAll(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'pgpc-dashboard-'));
  await addContrast(await writeFakeRun(path.join(root, 'runs'), { name: 'first', samples: 1 }));
  await writeFakeRun(path.join(root, 'runs', 'sweep', 'seed1'), { name: 'second', samples: 0 });
  await writeFakeRun(path.join(root, 'elsewhere'), { name: 'linked', samples: 0 });
  symlinkSync(path.join(root, 'elsewhere', 'linked'), path.join(root, 'runs', 'linked'));
  writeFileSync(path.join(root, 'secret.png'), 'secret');
  symlinkSync(path.join(root, 'secret.png'), path.join(root, 'runs', 'first', 'pictures', 'link.png'));
  served = await startDashboard({
    roots: [path.join(root, 'runs')],
    port: 0,
    onLeftOut: (link) => leftOut.push(link),
  });
});
afterAll(async () => {
  await served.close();
  rmSync(root, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** `fetch` sets Host, Origin and the site itself, and tidies paths: here they are sent as they are written. */
function ask(address: string, pathname: string, headers: Record<string, string> = {}, method = 'GET') {
  const { port } = new URL(address);
  return new Promise<Answer>((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: pathname, headers, method }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

async function get<T>(pathname: string): Promise<T> {
  const response = await fetch(new URL(pathname, served.address));
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

const idOf = (name: string) => path.join(root, 'runs', name);
const metricsOf = (name: string, since = '') =>
  get<MetricsPart>(`/api/metrics?run=${encodeURIComponent(idOf(name))}&since=${since}`);

describe('who is answered', () => {
  const status = async (headers: Record<string, string>, pathname = '/api/runs', method = 'GET') =>
    (await ask(served.address, pathname, headers, method)).status;

  test('this machine, by its names and numbers, at any forwarded port', async () => {
    for (const host of ['localhost', '127.0.0.1:6464', 'LOCALHOST:9', '[::1]:80', '192.168.0.7']) {
      expect([host, await status({ host })]).toEqual([host, 200]);
    }
  });

  test('no other name: a page may have its own point here', async () => {
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example:6464',
      hostname(),
    ]) {
      expect([host, await status({ host })]).toEqual([host, 403]);
    }
    expect(await status({ host: '@' })).toBe(400);
    expect(await status({ host: 'a b' })).toBe(400);
    const { text } = await ask(served.address, '/', { host: 'evil.example' });
    expect(JSON.parse(text).error).toContain("'evil.example' is no name of the dashboard");
  });

  test('no page of another address, but a link from there may lead to the page', async () => {
    const host = 'localhost:1';
    expect(await status({ host, origin: 'http://localhost:1' })).toBe(200);
    for (const origin of ['http://localhost:2', 'https://localhost:1', 'null', 'http://evil.example']) {
      expect([origin, await status({ host, origin })]).toEqual([origin, 403]);
    }
    expect(await status({ 'sec-fetch-site': 'same-origin' })).toBe(200);
    expect(await status({ 'sec-fetch-site': 'none' })).toBe(200);
    for (const site of ['same-site', 'cross-site']) {
      const navigate = { 'sec-fetch-site': site, 'sec-fetch-mode': 'navigate' };
      expect(await status({ 'sec-fetch-site': site })).toBe(403);
      expect(await status(navigate)).toBe(403);
      expect(await status(navigate, '/')).toBe(200);
    }
  });

  test('nothing that would change something', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      expect(await status({}, '/api/runs', method)).toBe(405);
    }
  });

  test('elsewhere only with the token, which moves from the address into a cookie', async () => {
    const open = await startDashboard({ roots: [root], host: '0.0.0.0', port: 0 });
    try {
      const token = new URL(open.address).searchParams.get('token')!;
      expect(token.length).toBeGreaterThanOrEqual(32);
      for (const wrong of ['', '?token=', `?token=${token.slice(1)}`, `?token=${token}x`]) {
        for (const pathname of ['/', '/page.js', '/api/runs']) {
          const { status, text } = await ask(open.address, pathname + wrong);
          expect([pathname, wrong, status]).toEqual([pathname, wrong, 401]);
          expect(text).toContain('?token=');
        }
      }
      const first = await ask(open.address, `/?token=${token}`);
      expect([first.status, first.headers.location]).toEqual([303, '/']);
      const [cookie, ...rules] = first.headers['set-cookie']![0]!.split('; ');
      expect(rules).toEqual(expect.arrayContaining(['HttpOnly', 'SameSite=Lax']));
      expect((await ask(open.address, '/api/runs', { cookie: cookie! })).status).toBe(200);
      expect((await ask(open.address, '/api/runs', { cookie: `${cookie}x` })).status).toBe(401);
      expect((await ask(open.address, `/api/runs?token=${token}`)).status).toBe(200);
      // The token does not open it to pages that have their own name point here.
      for (const [host, expected] of [
        [hostname(), 200],
        ['evil.example', 403],
      ] as const) {
        expect((await ask(open.address, `/api/runs?token=${token}`, { host })).status).toBe(expected);
      }
    } finally {
      await open.close();
    }
  });

  test('with headers that keep the page to itself', async () => {
    const { headers } = await ask(served.address, '/');
    expect(headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['cross-origin-resource-policy']).toBe('same-origin');
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('what is served', () => {
  test('the runs of a folder and of folders in it, with results and the last metrics', async () => {
    const { runs, whole } = await get<RunList>('/api/runs');
    expect(whole).toBe(true);
    expect(runs.map(({ label }) => label)).toEqual(['first', 'sweep/seed1/second']);
    const [first] = runs;
    expect(first!.info).toMatchObject({ status: 'finished', config: { method: 'pgpc' } });
    expect(first!.results!.map(({ name }) => name)).toEqual([
      'source-only',
      'self-training',
      'pgpc',
      'oracle',
    ]);
    expect(first!.last).toMatchObject({ phase: 'pgpc', iteration: 400, values: { 'val/miou': 0.5 } });
    expect(first!.pictures!.target).toHaveLength(1);
  });

  test('no run that a link leads to from elsewhere, and that is said once', async () => {
    await get('/api/runs');
    await setTimeout(220);
    await get('/api/runs');
    expect(leftOut).toEqual([path.join(root, 'runs', 'linked')]);
    const named = await startDashboard({ roots: [path.join(root, 'runs', 'linked')], port: 0 });
    const { runs } = JSON.parse((await ask(named.address, '/api/runs')).text) as RunList;
    expect(runs.map(({ label }) => label)).toEqual(['linked']);
    await named.close();
  });

  test('pictures, and no file by any other name or way', async () => {
    const id = encodeURIComponent(idOf('first'));
    const picture = `/api/picture?run=${id}&file=target-0.png`;
    const response = await fetch(new URL(picture, served.address));
    const file = path.join(root, 'runs', 'first', 'pictures', 'target-0.png');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(readFileSync(file));
    const again = await ask(served.address, picture, { 'if-none-match': response.headers.get('etag')! });
    expect(again.status).toBe(304);
    for (const name of [
      '../run.json',
      '..%2frun.json',
      '..%5Crun.json',
      '/etc/passwd',
      'index.json',
      '.',
      '',
    ]) {
      const { status } = await ask(served.address, `/api/picture?run=${id}&file=${name}`);
      expect([name, status]).toEqual([name, 404]);
    }
    const features = `/api/features?run=${id}&file=memory-1000.safetensors`;
    const bytes = Buffer.from(await (await fetch(new URL(features, served.address))).arrayBuffer());
    const memory = path.join(root, 'runs', 'first', 'pictures', 'memory-1000.safetensors');
    expect(bytes).toEqual(readFileSync(memory));
    for (const name of ['../run.json', '../checkpoints/a.safetensors', 'target-0.png', 'none.safetensors']) {
      const { status } = await ask(served.address, `/api/features?run=${id}&file=${name}`);
      expect([name, status]).toEqual([name, 404]);
    }
    const link = await ask(served.address, `/api/picture?run=${id}&file=link.png`);
    expect([link.status, link.text]).toEqual([500, expect.stringContaining('leads out of')]);
    expect(link.text).not.toContain('secret"');
    for (const run of ['..', `${idOf('first')}/..`, '/', root]) {
      for (const address of [
        `/api/picture?run=${run}&file=secret.png`,
        `/api/metrics?run=${run}`,
        `/api/diff?run=${run}`,
      ]) {
        expect((await ask(served.address, address)).status).toBe(404);
      }
    }
    for (const address of [
      '/../secret.png',
      '/%2e%2e/secret.png',
      '//secret.png',
      '/page.js/../../package.json',
      '/runs',
    ]) {
      expect([address, (await ask(served.address, address)).status]).toEqual([address, 404]);
    }
    for (const address of ['*', 'http://evil.example/api/runs']) {
      expect([address, (await ask(served.address, address)).status]).toEqual([address, 400]);
    }
  });

  test('a run whose files lead out of it is named with the reason, and none of them is read', async () => {
    const run = path.join(root, 'runs', 'outward');
    mkdirSync(run);
    symlinkSync(path.join(root, 'elsewhere', 'linked', 'run.json'), path.join(run, 'run.json'));
    try {
      await setTimeout(220);
      const { runs } = await get<RunList>('/api/runs');
      const outward = runs.find(({ label }) => label === 'outward')!;
      expect(outward.error).toContain('leads out of');
      expect(outward.info).toBeUndefined();
    } finally {
      rmSync(run, { recursive: true });
    }
  });

  test('configurations side by side', async () => {
    const ids = ['first', 'sweep/seed1/second'].map((name) => encodeURIComponent(idOf(name)));
    const { rows } = await get<ConfigDiff>(`/api/diff?run=${ids[0]}&run=${ids[1]}`);
    expect(rows).toContainEqual({ key: 'model.channels', values: Array(2).fill('32, 64, 160, 256') });
  });
});

describe('a run under way', () => {
  const runs: string[] = [];
  afterEach(() => {
    for (const run of runs.splice(0)) rmSync(run, { recursive: true });
  });
  const begin = (name: string) => {
    const run = RunDirectory.create(path.join(root, 'runs'), name, { config: {}, seed: 1, versions: {} });
    runs.push(run.path);
    return run;
  };

  test('appears in the list, grows, ends and goes', async () => {
    const { cursor } = await get<RunList>('/api/runs');
    const run = begin('live');
    await setTimeout(220);
    const appeared = await get<RunList>(`/api/runs?since=${cursor}`);
    expect(appeared.whole).toBe(false);
    expect(appeared.runs.map(({ label, info }) => [label, info?.status])).toEqual([['live', 'running']]);
    run.log({ phase: 'a', iteration: 7 }, { 'loss/total': 2 });
    run.log({ phase: 'a', iteration: 7 }, { q: Number.NaN });
    await setTimeout(220);
    const grown = await get<RunList>(`/api/runs?since=${appeared.cursor}`);
    expect(grown.runs.map(({ last }) => last)).toMatchObject([
      { iteration: 7, values: { 'loss/total': 2, q: null } },
    ]);
    expect((await get<RunList>(`/api/runs?since=${grown.cursor}`)).runs).toEqual([]);
    rmSync(runs.pop()!, { recursive: true });
    await setTimeout(220);
    const gone = await get<RunList>(`/api/runs?since=${grown.cursor}`);
    expect([gone.runs, gone.gone]).toEqual([[], [idOf('live')]]);
  });

  test('sends only what is new of its metrics, in whole lines', async () => {
    const run = begin('metrics');
    await setTimeout(220);
    expect(await metricsOf('metrics')).toEqual({ cursor: '', whole: true, series: [] });
    run.log({ phase: 'a', iteration: 1 }, { x: 1, y: 5 });
    run.log({ phase: 'a', iteration: 2 }, { x: Number.NaN });
    const first = await metricsOf('metrics');
    expect(first.series).toEqual([
      {
        phase: 'a',
        from: 0,
        iterations: [1, 2],
        wall: [expect.any(Number), expect.any(Number)],
        columns: { x: { values: [1, null] }, y: { at: [0], values: [5] } },
      },
    ]);
    const file = path.join(run.path, 'metrics.jsonl');
    appendFileSync(file, '{"phase":"a","iteration":3,"wa');
    expect((await metricsOf('metrics', first.cursor)).series).toEqual([]);
    appendFileSync(file, 'll":9,"x":4}\n');
    const second = await metricsOf('metrics', first.cursor);
    expect(second).toMatchObject({ whole: false, series: [{ from: 2, iterations: [3], wall: [9] }] });
  });

  test('that is resumed takes back what it repeats, and one that is replaced begins anew', async () => {
    const run = begin('resumed');
    for (const iteration of [1, 2, 3]) run.log({ phase: 'a', iteration }, { x: iteration });
    await setTimeout(220);
    await get('/api/runs');
    const { cursor } = await metricsOf('resumed');
    RunDirectory.resume(run.path).log({ phase: 'a', iteration: 2 }, { x: 20 });
    // Resuming writes run.json anew, with the same beginning.
    expect(await metricsOf('resumed', cursor)).toMatchObject({
      whole: false,
      series: [{ from: 1, iterations: [2], columns: { x: { values: [20] } } }],
    });
    const again = RunDirectory.create(
      path.join(root, 'runs'),
      'resumed',
      { config: {}, seed: 1, versions: {} },
      { overwrite: true },
    );
    for (const iteration of [5, 6, 7, 8, 9]) again.log({ phase: 'b', iteration }, { x: 0.123456789012345 });
    await setTimeout(220);
    await get('/api/runs');
    expect(await metricsOf('resumed', cursor)).toMatchObject({
      whole: true,
      series: [{ phase: 'b', iterations: [5, 6, 7, 8, 9] }],
    });
  });

  test('a line that is no record is named', async () => {
    const run = begin('broken');
    run.log({ phase: 'a', iteration: 1 }, { x: 1 });
    appendFileSync(path.join(run.path, 'metrics.jsonl'), '{"phase":"a"}\n');
    await setTimeout(220);
    const entry = (await get<RunList>('/api/runs')).runs.find(({ label }) => label === 'broken')!;
    expect(entry.error).toContain('metrics.jsonl: iteration:');
    const response = await fetch(
      new URL(`/api/metrics?run=${encodeURIComponent(idOf('broken'))}`, served.address),
    );
    expect([response.status, ((await response.json()) as { error: string }).error]).toEqual([
      500,
      expect.stringContaining('metrics.jsonl:2: iteration'),
    ]);
  });
});

test('200 clients at once, each on a connection of its own, see a run grow', async () => {
  const { port } = new URL(served.address);
  const clients = Array.from({ length: 200 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  const askAll = <T>(pathname: string) =>
    Promise.all(
      clients.map(
        (agent) =>
          new Promise<T>((resolve, reject) => {
            const asked = request({ host: '127.0.0.1', port, path: pathname, agent }, (response) => {
              const parts: Buffer[] = [];
              response.on('data', (part: Buffer) => parts.push(part));
              response.on('end', () => {
                if (response.statusCode === 200) resolve(JSON.parse(Buffer.concat(parts).toString()) as T);
                else reject(new Error(`status ${response.statusCode}`));
              });
            });
            asked.on('error', reject);
            asked.end();
          }),
      ),
    );
  const run = RunDirectory.create(path.join(root, 'runs'), 'crowd', { config: {}, seed: 1, versions: {} });
  try {
    for (const iteration of [1, 2, 3]) {
      run.log({ phase: 'a', iteration }, { 'loss/total': iteration });
      await setTimeout(220);
      const lists = await askAll<RunList>('/api/runs');
      expect(lists).toHaveLength(200);
      for (const { runs } of lists) {
        expect(runs.find(({ label }) => label === 'crowd')!.last).toMatchObject({ iteration });
      }
    }
    const metrics = await askAll<MetricsPart>(`/api/metrics?run=${encodeURIComponent(run.path)}&since=`);
    expect(new Set(metrics.map((part) => JSON.stringify(part))).size).toBe(1);
    expect(metrics[0]!.series[0]!.iterations).toEqual([1, 2, 3]);
    // No more files are open than the connections, of either end.
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(2 * clients.length + 200);
  } finally {
    for (const agent of clients) agent.destroy();
    rmSync(run.path, { recursive: true });
  }
});

test('a port that is taken is said, and the usual one is left for another', async () => {
  const { port } = new URL(served.address);
  await expect(startDashboard({ roots: [root], port: Number(port) })).rejects.toThrow(
    `127.0.0.1:${port}: the port is taken: choose another --port, or leave it out`,
  );
  const two = [await startDashboard({ roots: [root] }), await startDashboard({ roots: [root] })];
  expect(new Set(two.map(({ address }) => new URL(address).port)).size).toBe(2);
  for (const one of two) await one.close();
});
