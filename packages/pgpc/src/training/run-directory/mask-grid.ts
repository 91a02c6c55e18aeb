// How the masks of all classes lie in one picture: the run writes it, the dashboard's page reads it.

/** As square as it can be, since browsers refuse pictures of more than 32,767 rows. */
export function maskGrid(classes: number): { columns: number; rows: number } {
  const columns = Math.ceil(Math.sqrt(classes));
  return { columns, rows: Math.ceil(classes / columns) };
}
