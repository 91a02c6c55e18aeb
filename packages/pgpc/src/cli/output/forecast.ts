// How long a training takes, in words, before it is under way.

/** A day and more is worth a word of advice. */
const LONG = 24 * 3600;

/**
 * `40,000 steps take about 20 days on this CPU, at 43 s a step; try --iterations 2000 or a smaller --crop`.
 * @param seconds of a step.
 */
export function forecast(steps: number, seconds: number, device: string): string {
  const total = steps * seconds;
  const where = device === 'cpu' ? 'this CPU' : device;
  const pace = seconds < 1 ? `${rounded(1 / seconds)} steps a second` : `${rounded(seconds)} s a step`;
  const what = steps === 1 ? '1 step takes' : `${steps.toLocaleString('en-US')} steps take`;
  const said = `${what} ${roughly(total)} on ${where}, at ${pace}`;
  if (total < LONG) return said;
  const fewer = round(LONG / seconds);
  const advice = fewer >= 100 ? `--iterations ${fewer} or ` : '';
  return `${said}; try ${advice}a smaller --crop${fewer >= 100 ? '' : ' or a smaller --network'}`;
}

/** Whether a training is so long that it has to be said. */
export function isLong(steps: number, seconds: number): boolean {
  return steps * seconds >= LONG;
}

/** `about 8 minutes`. */
export function roughly(seconds: number): string {
  for (const [unit, length] of Object.entries({ day: 24 * 3600, hour: 3600, minute: 60 })) {
    // Two of a smaller unit say more than one of a larger.
    if (seconds < 1.5 * length) continue;
    return `about ${Math.round(seconds / length)} ${unit}s`;
  }
  return seconds < 60 ? 'less than a minute' : 'about a minute';
}

/** Down to 1, 2 or 5 times a power of ten. */
function round(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([5, 2].find((digit) => digit * power <= value) ?? 1) * power;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(2)));
}
