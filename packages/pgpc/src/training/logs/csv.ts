// Tables as CSV.

type Field = string | number | undefined;

/** Rows as RFC 4180 has them, but with a line feed alone; an undefined field is empty. */
export function csvText(rows: readonly (readonly Field[])[]): string {
  return rows.map((row) => `${row.map(field).join(',')}\n`).join('');
}

/** Quoted where it holds what separates fields. */
function field(value: Field): string {
  const text = value === undefined ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
