// Memory for what is read of files, used again: to take and free megabytes for every image costs as much as to read them.

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
