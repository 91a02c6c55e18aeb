// Writes what torch.load reads, without Python: a zip archive with a pickle and the tensors' storages.
import { itemSize } from '../dtype.js';
import type { Tensor } from '../tensor.js';
import { type Picklable, pickled } from './pickle.js';
import { WeightsFileError } from './reader.js';
import { eachChunk, writeWhole } from './write-file.js';
import { type StoredMember, writeZip } from './zip-writer.js';

const ROOT = 'archive';
/** Of the format; PyTorch reads 1 to 10, and has written 3 since 1.6. */
const VERSION = '3\n';

/**
 * Writes plain data with tensors, of any device, to a .pth that `torch.load` reads, also with `weights_only=True` (but
 * PyTorch 1.13 then reads no floats); views are written in full, a tensor that occurs twice once. The file takes its name only when it is complete and on disk, and
 * the same value gives the same bytes.
 *
 * @throws WeightsFileError for a dtype that torch has no storage of, what is no data, more than 4 GiB or 65,531 tensors,
 * and on Node before 20.15, which has no checksums; the system's error where the disk refuses. In each case `path` is left
 * as it was.
 */
export function savePth(path: string, value: Picklable): void {
  const tensors = new Map<Tensor, string>();
  try {
    const pickle = pickled(value, (tensor) => {
      const key = tensors.get(tensor) ?? `${tensors.size}`;
      tensors.set(tensor, key);
      return key;
    });
    const storages = [...tensors].map(
      ([tensor, key]): StoredMember => ({
        name: `${ROOT}/data/${key}`,
        size: tensor.numel * itemSize(tensor.dtype),
        write: (sink) => eachChunk(tensor, sink),
      }),
    );
    const members = [
      whole('data.pkl', pickle),
      whole('byteorder', Buffer.from('little')),
      ...storages,
      whole('version', Buffer.from(VERSION)),
    ];
    writeWhole(path, (fd) => writeZip(fd, members));
  } catch (error) {
    if (error instanceof WeightsFileError) throw new WeightsFileError(`${path}: ${error.message}`);
    throw error;
  }
}

function whole(name: string, content: Buffer): StoredMember {
  return { name: `${ROOT}/${name}`, size: content.length, write: (sink) => sink(content) };
}
