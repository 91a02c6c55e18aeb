// Who may ask the dashboard: a page of its own address, under a name that this machine is known by, with the token where one is needed.

import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { foreignRequest, type Refusal } from '../local-server/access.js';

/** What requests are checked against. */
export interface Gate {
  /** What the server listens on. */
  readonly host: string;
  /** In the address that is printed; undefined: none is needed, as only this machine reaches the server. */
  readonly token: string | undefined;
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
 * Checks a request. Numbers for an address cannot be made to point elsewhere, so all are allowed.
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
  const door = { name: 'the dashboard', isOwnName: (name: string) => isOwnName(name, gate) };
  const foreign = foreignRequest(request, request.isPage, door);
  if (foreign) return foreign;
  if (gate.token !== undefined && !equal(request.token ?? '', gate.token)) {
    return { status: 401, reason: 'open the address that pgpc printed: it ends with ?token=...' };
  }
  return undefined;
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
