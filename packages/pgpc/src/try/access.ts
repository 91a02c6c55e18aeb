// Who may ask the server of `pgpc try`: a page of its own, under a name of this machine's loopback.

import type { IncomingHttpHeaders } from 'node:http';

/** Why a request is refused. */
export interface Refusal {
  readonly status: 403 | 405;
  readonly reason: string;
}

const NAMES = ['127.0.0.1', 'localhost'];

/**
 * Checks a request. Another name in `Host` is that of a page that has its own name point here (DNS rebinding); an `Origin` or
 * `Sec-Fetch-Site` of another address is a page of there. Any port will do: it may be forwarded.
 * @param isPage whether the page itself is asked for, to which links from elsewhere may lead.
 * @returns undefined where it may be answered.
 */
export function refusalOf(
  method: string | undefined,
  headers: IncomingHttpHeaders,
  isPage: boolean,
): Refusal | undefined {
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, reason: `${method} is not answered: this server only shows` };
  }
  const name = /^([\w.-]+)(:\d+)?$/.exec(headers.host ?? '')?.[1]?.toLowerCase();
  if (name === undefined || !NAMES.includes(name)) {
    return {
      status: 403,
      reason: `'${headers.host ?? ''}' is no name of this server: open the address that pgpc printed`,
    };
  }
  if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`) {
    return { status: 403, reason: `a page of ${headers.origin} may not read this server` };
  }
  const site = headers['sec-fetch-site'];
  const followed = isPage && headers['sec-fetch-mode'] === 'navigate';
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !followed) {
    return { status: 403, reason: 'a page of another site may not read this server' };
  }
  return undefined;
}
