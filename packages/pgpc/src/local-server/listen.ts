// Starting and stopping a server on this machine.

import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Of every answer: nothing is told to other sites, and none is taken for another type than it says. */
export const PRIVATE_HEADERS = {
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

interface Place {
  readonly host: string;
  /** Undefined: the usual one, or any where that is taken. */
  readonly port: number | undefined;
  readonly usualPort: number;
}

/** @returns the port. @throws Error that begins with what `name` says the server is, and says what to choose instead. */
export async function listen(
  server: Server,
  { host, port, usualPort }: Place,
  name: string,
): Promise<number> {
  for (const attempt of port === undefined ? [usualPort, 0] : [port]) {
    try {
      server.listen(attempt, host);
      await once(server, 'listening');
      break;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && port === undefined && attempt !== 0) continue;
      const reasons: Record<string, string> = {
        EADDRINUSE: 'the port is taken: choose another --port, or leave it out',
        EACCES: 'the port is not allowed: choose a --port of 1024 or more',
        EADDRNOTAVAIL: 'this machine has no such address: choose another --host',
        ENOTFOUND: 'there is no host of this name: choose another --host',
      };
      throw new Error(`${name} cannot listen on ${host}:${attempt}: ${reasons[code ?? ''] ?? code}`, {
        cause: error,
      });
    }
  }
  return (server.address() as AddressInfo).port;
}

/** Stops a server, answers under way too. */
export async function close(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}
