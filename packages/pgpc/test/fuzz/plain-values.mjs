// Changes to plain values, as JSON and YAML hold them: types, counts, names that objects have by themselves, nesting.
import { ODD_NUMBERS } from './random.mjs';

/** Names that a plain object finds although nobody has put them there, and others that may be taken for something else. */
const NAMES = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'length', 'then'],
  ...['', ' ', '0', '-1', '.', '..', 'a.b', '__metadata__', 'null', 'NaN', '~', '*', '&a', '<<'],
];
const TEXTS = [
  ...NAMES,
  ...[
    '\u0000',
    '\u001b[2J',
    '\u009b31m',
    '\u202eabc',
    '\ud800',
    'ＡＢＣ',
    'é',
    '../x',
    '/etc/passwd',
    '#12345g',
    '%s',
  ],
];

/** One value of any type. */
export function anyValue(random, depth = 0) {
  switch (random.below(depth > 3 ? 6 : 9)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
      return random.pick(ODD_NUMBERS);
    case 4:
      return random.pick(TEXTS);
    case 5:
      return random.pick(TEXTS).repeat(random.pick([1, 2, 100]));
    case 6:
      return Array.from({ length: random.below(4) }, () => anyValue(random, depth + 1));
    case 7:
      return nested(random);
    default:
      return withKey({}, random.pick(NAMES), anyValue(random, depth + 1));
  }
}

/** Lists or objects inside of one another. */
function nested(random) {
  let value = null;
  for (let n = random.pick([1, 2, 5, 40, 60, 1000, 20_000]); n > 0; n--)
    value = n % 2 ? [value] : { a: value };
  return value;
}

/** Also of the name `__proto__`. */
function withKey(object, key, value) {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  return object;
}

/** A copy of a tree, which is not deep, with one to `most` changes at places of any depth. */
export function changeValue(random, value, most = 3) {
  const box = { value: structuredClone(value) };
  for (let n = random.between(1, most); n > 0; n--) {
    const places = [{ owner: box, key: 'value' }];
    collect(box.value, places, 0);
    change(random, random.pick(places));
  }
  // A list repeated in a list that is repeated takes minutes to write: what is read is then the tree as it was.
  return isHuge(box.value) ? structuredClone(value) : box.value;
}

/** More than a million values, each counted as often as it is written. */
function isHuge(value) {
  const pending = [value];
  for (let seen = 0; pending.length > 0; seen++) {
    const next = pending.pop();
    if (seen > 1e6) return true;
    if (typeof next === 'object' && next !== null)
      for (const key of Object.keys(next)) pending.push(next[key]);
  }
  return false;
}

function collect(value, places, depth) {
  if (typeof value !== 'object' || value === null || depth > 30) return;
  for (const key of Object.keys(value)) {
    places.push({ owner: value, key });
    collect(value[key], places, depth + 1);
  }
}

function change(random, { owner, key }) {
  const value = owner[key];
  switch (random.below(8)) {
    case 0:
      if (Array.isArray(owner)) owner.splice(Number(key), 1);
      else if (key !== 'value') delete owner[key];
      return;
    case 1:
      if (Array.isArray(value)) value.push(random.chance(0.5) ? value.at(-1) : anyValue(random));
      else if (typeof value === 'object' && value !== null)
        withKey(value, random.pick(NAMES), anyValue(random));
      else owner[key] = [value];
      return;
    case 2:
      if (typeof value === 'number') owner[key] = value + random.pick([-1, 1, 0.5, 1e9]);
      else if (typeof value === 'string') owner[key] = value + random.pick(TEXTS);
      else owner[key] = anyValue(random);
      return;
    case 3:
      if (typeof value === 'number') owner[key] = String(value);
      else owner[key] = random.pick(ODD_NUMBERS);
      return;
    case 4:
      if (Array.isArray(owner) || key === 'value') owner[key] = anyValue(random);
      else {
        delete owner[key];
        withKey(owner, random.pick(NAMES), value);
      }
      return;
    case 5:
      if (Array.isArray(value)) {
        const item = value[0];
        owner[key] = Array.from({ length: random.pick([0, 1, 2, 300]) }, () => item);
      } else owner[key] = random.pick(TEXTS);
      return;
    default:
      owner[key] = anyValue(random);
  }
}

/** JSON of a value, however deep: JSON.stringify calls itself. */
export function jsonOf(value) {
  try {
    return JSON.stringify(value);
  } catch {
    const parts = [];
    const pending = [{ text: undefined, value }];
    while (pending.length > 0) {
      const { text, value: next } = pending.pop();
      if (text !== undefined) parts.push(text);
      else if (Array.isArray(next)) {
        pending.push({ text: ']' });
        for (let i = next.length - 1; i >= 0; i--) {
          pending.push({ value: next[i] }, { text: i > 0 ? ',' : '' });
        }
        pending.push({ text: '[' });
      } else if (typeof next === 'object' && next !== null) {
        pending.push({ text: '}' });
        const entries = Object.entries(next);
        for (let i = entries.length - 1; i >= 0; i--) {
          const [key, inner] = entries[i];
          pending.push({ value: inner }, { text: `${i > 0 ? ',' : ''}${JSON.stringify(key)}:` });
        }
        pending.push({ text: '{' });
      } else parts.push(JSON.stringify(next) ?? 'null');
    }
    return parts.join('');
  }
}
