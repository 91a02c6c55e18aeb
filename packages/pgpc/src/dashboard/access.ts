// Who may ask the dashboard: a page of its own address, under a name that this machine is known by, with the token where one is needed.

import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

/** What requests are checked against. */
export interface Gate {
  /** What the server listens on. */
  readonly host: string;
  /** In the address that is printed; undefined: none is needed, as only this machine reaches the server. */
  readonly token: string | undefined;
}

/** Why a request is refused. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 405;
  readonly reason: string;
}

/** Whether only programs of this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** The name of the cookie that keeps the token; ports of one machine share their cookies. */
export function cookieName(port: number): string {
  return `pgpc-dashboard-${port}`;
}

/**
 * Checks a request. A name of another machine in `Host` is that of a page that has its own name point here (DNS
 * rebinding); an `Origin` or `Sec-Fetch-Site` of another address is a page of there. Numbers for an address cannot be made
 * to point elsewhere, so all are allowed.
 * @param token what the request gave, in its address or its cookie.
 * @returns undefined where it may be answered.
 */
export function refusalOf(
  request: {
    method: string | undefined;
    headers: IncomingHttpHeaders;
    token: string | undefined;
    isPage: boolean;
  },
  gate: Gate,
): Refusal | undefined {
  const { method, headers, isPage } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, reason: `${method} is not answered: the dashboard only shows` };
  }
  const host = parsedHost(headers.host);
  if (host === undefined) return { status: 400, reason: 'the request does not say which host it asks' };
  if (!isOwnName(host.hostname, gate)) {
    const known = isLoopback(gate.host) ? 'localhost' : gate.host;
    return {
      status: 403,
      reason: `'${host.hostname}' is no name of this dashboard: open the address that pgpc printed (${known})`,
    };
  }
  if (headers.origin !== undefined && headers.origin !== `http://${host.host}`) {
    return { status: 403, reason: `a page of ${headers.origin} may not read this dashboard` };
  }
  // A link from elsewhere may lead to the page, but no page from elsewhere may take parts of it.
  const site = headers['sec-fetch-site'];
  const followed = isPage && headers['sec-fetch-mode'] === 'navigate';
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !followed) {
    return { status: 403, reason: 'a page of another site may not read this dashboard' };
  }
  if (gate.token !== undefined && !equal(request.token ?? '', gate.token)) {
    return { status: 401, reason: 'open the address that pgpc printed: it ends with ?token=...' };
  }
  return undefined;
}

function parsedHost(header: string | undefined): URL | undefined {
  if (header === undefined || !/^[\w.:[\]-]+$/.test(header)) return undefined;
  return URL.canParse(`http://${header}`) ? new URL(`http://${header}`) : undefined;
}

/** @param name as URLs have it: in lower case, IPv6 in brackets. */
function isOwnName(name: string, { host }: Gate): boolean {
  if (isIP(name.replace(/^\[|\]$/g, '')) !== 0) return true;
  const own = hostname().toLowerCase();
  const names = isLoopback(host) ? ['localhost'] : ['localhost', host.toLowerCase(), own, `${own}.local`];
  return names.includes(name);
}

function equal(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
