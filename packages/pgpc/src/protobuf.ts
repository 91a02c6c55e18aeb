// Protocol buffers' messages as tables of fields: the wire format knows numbers and types, and no names.

import protobuf from 'protobufjs/light.js';

export type Field = readonly [type: string, id: number, rule?: 'repeated'];

/**
 * One message, by the names that we give its fields. A field that is 0 or empty is left out, as a reader takes it for that.
 * @param either fields one at a time: its presence tells something, so it is written also where it is 0.
 */
export function message(
  fields: Readonly<Record<string, Field>>,
  either: Readonly<Record<string, Field>> = {},
): protobuf.IType {
  const named = Object.entries({ ...fields, ...either }).map(([name, [type, id, rule]]) => [
    name,
    { type, id, ...(rule && { rule }) },
  ]);
  const oneof = Object.keys(either);
  return {
    fields: Object.fromEntries(named),
    ...(oneof.length > 0 && { oneofs: { either: { oneof } } }),
  };
}

/** The messages that may name each other. @returns what encodes one of them, by its name. */
export function messages(nested: Readonly<Record<string, protobuf.IType>>): (name: string) => protobuf.Type {
  const root = protobuf.Root.fromJSON({ nested });
  return (name) => root.lookupType(name);
}
