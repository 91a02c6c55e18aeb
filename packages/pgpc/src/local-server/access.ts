// What every server on this machine refuses: pages of other sites, and names that are made to point here.

import type { IncomingHttpHeaders } from 'node:http';

/** Why a request is refused. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 405;
  readonly reason: string;
}

/** A server that only shows, to its own page. */
export interface Door {
  /** What the server calls itself, such as 'the dashboard'. */
  readonly name: string;
  /** Whether a host name, as URLs have it (in lower case, IPv6 in brackets), is one of the server's. */
  readonly isOwnName: (hostname: string) => boolean;
}

/**
 * Checks a request. Another name in `Host` is that of a page that has its own name point here (DNS rebinding); an
 * `Origin` or `Sec-Fetch-Site` of another address is a page of there. Any port will do: it may be forwarded.
 * @param isPage whether the page itself is asked for, to which links from elsewhere may lead.
 * @returns undefined where it may be answered.
 */
export function foreignRequest(
  { method, headers }: { method?: string | undefined; headers: IncomingHttpHeaders },
  isPage: boolean,
  { name, isOwnName }: Door,
): Refusal | undefined {
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, reason: `${method} is not answered: ${name} only shows` };
  }
  const host = parsedHost(headers.host);
  if (host === undefined) return { status: 400, reason: 'the request does not say which host it asks' };
  if (!isOwnName(host.hostname)) {
    return {
      status: 403,
      reason: `'${host.hostname}' is no name of ${name}: open the address that pgpc printed`,
    };
  }
  if (headers.origin !== undefined && headers.origin !== `http://${host.host}`) {
    return { status: 403, reason: `a page of ${headers.origin} may not read ${name}` };
  }
  // A link from elsewhere may lead to the page, but no page from elsewhere may take parts of it.
  const site = headers['sec-fetch-site'];
  const followed = isPage && headers['sec-fetch-mode'] === 'navigate';
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !followed) {
    return { status: 403, reason: `a page of another site may not read ${name}` };
  }
  return undefined;
}

function parsedHost(header: string | undefined): URL | undefined {
  if (header === undefined || !/^[\w.:[\]-]+$/.test(header)) return undefined;
  return URL.canParse(`http://${header}`) ? new URL(`http://${header}`) : undefined;
}
