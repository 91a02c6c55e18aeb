// The dashboard's server: the page, and what run directories hold as JSON and pictures. It only reads.
//
// On node:http alone: a few addresses that answer GET need no router, and the checks that matter are in access.ts and
// files.ts. The page asks again every two seconds instead of holding a stream open: that survives tunnels and suspended
// laptops, and an answer without news is a few bytes.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { close, listen, PRIVATE_HEADERS } from '../local-server/listen.js';
import { cookieName, type Gate, isLoopback, refusalOf } from './access.js';
import { stateOf } from './files.js';
import { NotFoundError, RunLibrary } from './run-library.js';

/** Tried where no port is named; any free one if it is taken. */
const USUAL_PORT = 6464;

/** What set-up bundles the page into. */
const PAGE = new URL('../../page/dist/', import.meta.url);

const PAGE_FILES: Readonly<Record<string, string>> = {
  '/': 'index.html',
  '/page.js': 'page.js',
  '/map-worker.js': 'map-worker.js',
  '/page.css': 'page.css',
};

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  png: 'image/png',
  safetensors: 'application/octet-stream',
};

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  ...PRIVATE_HEADERS,
};

export interface DashboardOptions {
  /** Run directories, and folders that hold some now or later. */
  readonly roots: readonly string[];
  /** What to listen on: 127.0.0.1 by default. Any other than this machine's own needs the token that is then made. */
  readonly host?: string | undefined;
  /** Left out: 6464, or any where that is taken. */
  readonly port?: number | undefined;
  /** Called once for every run that is not shown, as a link leads to it from a folder that it is not in. */
  readonly onLeftOut?: ((link: string) => void) | undefined;
}

export interface Dashboard {
  /** What to open, with the token where one is needed. */
  readonly address: string;
  close(): Promise<void>;
}

/** Serves run directories until it is closed. @throws Error if the page is not built, or the address cannot be had. */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { roots, host = '127.0.0.1', port, onLeftOut } = options;
  const page = readPage();
  const library = new RunLibrary(roots, onLeftOut);
  const gate: Gate = { host, token: isLoopback(host) ? undefined : randomBytes(24).toString('base64url') };
  const server = createServer((request, response) => answer(request, response, { gate, library, page }));
  const taken = await listen(server, { host, port, usualPort: USUAL_PORT }, 'the dashboard');
  const query = gate.token === undefined ? '' : `?token=${gate.token}`;
  return {
    address: `http://${host.includes(':') ? `[${host}]` : host}:${taken}/${query}`,
    close: () => close(server),
  };
}

function readPage(): ReadonlyMap<string, Buffer> {
  return new Map(
    Object.entries(PAGE_FILES).map(([address, file]) => {
      try {
        return [address, readFileSync(new URL(file, PAGE))] as const;
      } catch {
        throw new Error("the dashboard's page is not built: run `npm run setup`");
      }
    }),
  );
}

interface Served {
  readonly gate: Gate;
  readonly library: RunLibrary;
  readonly page: ReadonlyMap<string, Buffer>;
}

function answer(request: IncomingMessage, response: ServerResponse, { gate, library, page }: Served): void {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const target = `http://dashboard${request.url}`;
  if (!request.url?.startsWith('/') || !URL.canParse(target)) {
    send(response, 400, { error: 'the address is none' });
    return;
  }
  const { pathname, searchParams } = new URL(target);
  const cookie = cookieName(request.socket.localPort!);
  const inAddress = searchParams.get('token') ?? undefined;
  const token = inAddress ?? cookieOf(request, cookie);
  const { method, headers } = request;
  const refusal = refusalOf({ method, headers, token, isPage: pathname === '/' }, gate);
  if (refusal) {
    send(response, refusal.status, { error: refusal.reason });
    return;
  }
  if (gate.token !== undefined && inAddress !== undefined && pathname === '/') {
    // From now on in a cookie, out of the address: that is kept in histories. Lax, as the link may be followed from a chat.
    response.setHeader('set-cookie', `${cookie}=${gate.token}; HttpOnly; SameSite=Lax; Path=/`);
    response.writeHead(303, { location: '/' }).end();
    return;
  }
  const bundled = page.get(pathname);
  if (bundled) {
    const type = TYPES[PAGE_FILES[pathname]!.split('.').at(-1)!]!;
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache' }).end(bundled);
    return;
  }
  try {
    const cursor = searchParams.get('since') ?? undefined;
    const run = searchParams.get('run') ?? '';
    if (pathname === '/api/runs') send(response, 200, library.list(cursor));
    else if (pathname === '/api/metrics') send(response, 200, library.metrics(run, cursor));
    else if (pathname === '/api/diff') send(response, 200, library.diff(searchParams.getAll('run')));
    else if (pathname === '/api/picture') {
      sendFile(request, response, library.picture(run, searchParams.get('file') ?? ''));
    } else if (pathname === '/api/features') {
      sendFile(request, response, library.features(run, searchParams.get('file') ?? ''));
    } else send(response, 404, { error: `there is nothing at ${pathname}` });
  } catch (error) {
    send(response, error instanceof NotFoundError ? 404 : 500, { error: (error as Error).message });
  }
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  const cookies = headers.cookie?.split('; ') ?? [];
  return cookies.find((cookie) => cookie.startsWith(`${name}=`))?.slice(name.length + 1);
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  response.writeHead(status, headers).end(JSON.stringify(value));
}

function sendFile({ headers }: IncomingMessage, response: ServerResponse, file: string): void {
  const etag = `"${stateOf(file)?.stamp}"`;
  response.setHeader('etag', etag);
  response.setHeader('cache-control', 'no-cache');
  if (headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  response.writeHead(200, { 'content-type': TYPES[file.split('.').at(-1)!] }).end(readFileSync(file));
}
