// The one way by which text reaches the terminal: names from files may hold what a terminal would act on.

/** All control characters but a tab and the end of a line, and what turns the direction of writing. */
const CONTROLS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]|\r(?!\n)/g;

/** What a bar is drawn with: back to the line's begin before it, and the rest of the line cleared behind it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const DRAWN = /^(\r)(.*)(\x1b\[K\n?)$/s;

/** Text without what a terminal would act on, which becomes \uNNNN: in JSON that is the same text. */
export function harmless(text: string): string {
  return text.replace(CONTROLS, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The stream, to which text is written as {@link harmless} makes it, but for how a bar is drawn. */
export function harmlessly<T extends NodeJS.WritableStream>(stream: T): T {
  const made = (text: string) => {
    const [, begin = '', inner = text, end = ''] = DRAWN.exec(text) ?? [];
    return `${begin}${harmless(inner)}${end}`;
  };
  return new Proxy(stream, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      if (key !== 'write') return value.bind(target);
      return (chunk: string | Uint8Array, ...rest: unknown[]) =>
        value.call(target, typeof chunk === 'string' ? made(chunk) : chunk, ...rest);
    },
  });
}
