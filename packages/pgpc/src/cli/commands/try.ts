// `pgpc try`: a network on one's own pictures and camera, in the browser.

import { once } from 'node:events';
import { bestOption } from '../checkpoint-options.js';
import { type Action, examples, option, type Register } from '../command.js';
import { checkedBy, existingPath, integer } from '../values.js';

interface TryFlags {
  readonly model: string;
  readonly best: boolean;
  /** Undefined: the usual one, or any that is free. */
  readonly port: number | undefined;
}

export const registerTry: Register = (parent, act) => {
  parent
    .command('try')
    .summary('a network on pictures and a camera, in the browser')
    .description(
      'Serve a page where a network segments a picture that is dropped there, or what a camera sees, by the browser itself (WebGPU, ' +
        'or wasm). Beside the network of a run of adapt or demo it shows its source network, with a slider between the two. ' +
        'Nothing leaves this machine, and only this machine reaches the page. Ends with Ctrl-C.',
    )
    .argument(
      '<model>',
      'run directory (its last checkpoint), checkpoint folder, model file, or a folder of `pgpc export onnx`',
      checkedBy(existingPath),
    )
    .addOption(bestOption())
    .addOption(option('--port <port>', 'port (default: 6465, or any where it is taken)', integer(1, 65_535)))
    .addHelpText('after', examples('pgpc try runs/adapt', 'pgpc try onnx --port 8080'))
    .action(async (model: string, flags: Omit<TryFlags, 'model'>) => {
      await act('try', tryNetwork, { model, ...flags });
    });
};

const tryNetwork: Action<TryFlags> = async ({ model, best, port }, io) => {
  const { findNetworks } = await import('../../try/networks.js');
  const { serveTry } = await import('../../try/server.js');
  const { useCores } = await import('../../machine.js');
  useCores();
  const tried = await findNetworks({ model, best, signal: io.signal, onStage: io.stage });
  try {
    const served = await serveTry(tried, port);
    for (const line of tried.said) io.stderr.write(`${line}\n`);
    io.stdout.write(`try: ${served.address}\n`);
    io.stderr.write('Ctrl-C ends it\n');
    // Nothing is silent here: the page shows what happens.
    io.stage(undefined);
    if (!io.signal.aborted) await once(io.signal, 'abort');
    await served.close();
  } finally {
    tried.dispose();
  }
};
