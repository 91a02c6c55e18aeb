// How the report and the terminal write numbers and colours.

/** A fraction as a percentage without its sign: 0.4567 -> `45.7`; NaN -> `–`. */
export function percent(fraction: number): string {
  return Number.isFinite(fraction) ? (fraction * 100).toFixed(1) : '–';
}

/** A difference of fractions in percentage points, with sign: 0.031 -> `+3.1`; NaN -> `–`. */
export function points(difference: number): string {
  if (!Number.isFinite(difference)) return '–';
  const text = (Math.abs(difference) * 100).toFixed(1);
  if (text === '0.0') return '0.0';
  return `${difference < 0 ? '−' : '+'}${text}`;
}

/** Seconds in the two largest units: 9.24 -> `9.2s`, 90 -> `1m 30s`, 7260 -> `2h 1m`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** A number of any size in about three digits: 0.000062 -> `6.2e-5`, 0.8312 -> `0.831`, 40000 -> `40,000`. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : String(value);
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1).replace('.0e', 'e');
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

/** A colour, RGB of 0..255 each, as CSS has it. */
export function css([red, green, blue]: readonly [number, number, number]): string {
  return `rgb(${red} ${green} ${blue})`;
}
