// Plain data out of a pickle, what stands in it for objects of other programs, and a walk that no depth overflows.

/** Data with leaves of one more kind: what a pickle of weights can hold. Tuples and lists are both arrays. */
export type Plain<Leaf> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Leaf
  | ForeignObject<Leaf>
  | Plain<Leaf>[]
  | Map<Plain<Leaf>, Plain<Leaf>>
  | Set<Plain<Leaf>>;

/**
 * Stands where a pickle has an object, a class or a function of some program. None of that program is run: there is the
 * name, and what the pickle would have handed to the object.
 */
export class ForeignObject<Leaf = unknown> {
  /** Its attributes, as a rule a Map; null if the pickle gives none. */
  state: Plain<Leaf> = null;
  /** The items that it was given as a dictionary; null if it was given none. */
  items: Map<Plain<Leaf>, Plain<Leaf>> | null = null;

  /** @param name of its class, or of the class or function that it is: `argparse.Namespace` */
  constructor(readonly name: string) {}
}

/**
 * Replaces every leaf of a tree in place, each distinct leaf once; shared and cyclic containers are met once.
 * Without recursion, so that no depth of nesting overflows the stack.
 */
export function replaceLeaves<From extends object, To extends object>(
  tree: Plain<From>,
  replace: (leaf: From) => To | ForeignObject<To>,
): Plain<To> {
  const replaced = new Map<From, To | ForeignObject<To>>();
  const seen = new Set<object>();
  const pending: object[] = [];
  const visit = (node: Plain<From>): Plain<To> => {
    if (typeof node !== 'object' || node === null || node instanceof Uint8Array) return node;
    if (isContainer(node)) {
      if (!seen.has(node)) {
        seen.add(node);
        pending.push(node);
      }
      return node as unknown as Plain<To>;
    }
    let result = replaced.get(node);
    if (result === undefined) {
      result = replace(node);
      replaced.set(node, result);
    }
    return result;
  };
  const root = visit(tree);
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (Array.isArray(node)) {
      for (let index = 0; index < node.length; index++) node[index] = visit(node[index]!);
    } else if (node instanceof Map) {
      for (const [key, value] of node) {
        visit(key);
        node.set(key, visit(value));
      }
    } else if (node instanceof ForeignObject) {
      node.state = visit(node.state as Plain<From>);
      if (node.items !== null) visit(node.items as Plain<From>);
    } else {
      for (const item of node as Set<Plain<From>>) visit(item);
    }
  }
  return root;
}

type Container<Leaf> = Plain<Leaf>[] | Map<Plain<Leaf>, Plain<Leaf>> | Set<Plain<Leaf>> | ForeignObject<Leaf>;

function isContainer<Leaf extends object>(node: Leaf | Container<Leaf>): node is Container<Leaf> {
  return Array.isArray(node) || node instanceof Map || node instanceof Set || node instanceof ForeignObject;
}
