// Memory for the bytes of files, which is used again.

// To take and free megabytes for every file costs as much as to read them: memory for files is used again.
const spare: Buffer[] = [];

/** At least `size` bytes, which hold anything. */
export function borrow(size: number): Buffer {
  const buffer = spare.pop();
  return buffer && buffer.length >= size ? buffer : Buffer.allocUnsafeSlow(size);
}

/** Nothing may read of it afterwards. */
export function giveBack(buffer: Buffer): void {
  spare.push(buffer);
}
