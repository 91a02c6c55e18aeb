// Event files of TensorBoard: TFRecords of the protocol buffer `Event` (event.proto and summary.proto of
// tensorflow/tensorboard, tensorboard/compat/proto).

import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { naming } from '@pgpc/datasets';
import { message, messages } from '../../protobuf.js';
import { crc32c } from './crc32c.js';

const tensorboard = messages({
  Event: message({
    wallTime: ['double', 1],
    step: ['int64', 2],
    fileVersion: ['string', 3],
    summary: ['Summary', 5],
    sessionLog: ['SessionLog', 7],
  }),
  SessionLog: message({ status: ['int32', 1] }),
  Summary: message({ value: ['Value', 1, 'repeated'] }),
  Value: message({ tag: ['string', 1] }, { simpleValue: ['float', 2], image: ['Image', 4] }),
  Image: message({
    height: ['int32', 1],
    width: ['int32', 2],
    colorspace: ['int32', 3],
    encodedImageString: ['bytes', 4],
  }),
});
const Event = tensorboard('Event');

/** A picture for an event: a PNG file and its size. */
export interface EventPicture {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** When something happened: steps done, and seconds since 1970. */
export interface EventTime {
  readonly step: number;
  readonly wall: number;
}

type Value = number | EventPicture;

/** An event file, open for appending; each event is whole in the file once its method returns. */
export class EventFile {
  private constructor(readonly path: string) {}

  /**
   * Makes `folder/events.out.tfevents.NAME`, in place of a file that is there, and the folder.
   * @param resumedAt of a training that is resumed: what other files of the folder have from this step on does not count.
   */
  static create(folder: string, name: string, wall: number, resumedAt?: number): EventFile {
    const file = new EventFile(path.join(folder, `events.out.tfevents.${name}`));
    mkdirSync(folder, { recursive: true });
    writeFileSync(file.path, '');
    file.#append({ step: 0, wall }, { fileVersion: 'brain.Event:2' });
    const START = 1;
    if (resumedAt !== undefined) file.#append({ step: resumedAt, wall }, { sessionLog: { status: START } });
    return file;
  }

  /** Appends numbers, and pictures, by their tags. */
  write(time: EventTime, values: Readonly<Record<string, Value>>): void {
    const value = Object.entries(values).map(([tag, one]) => ({ tag, ...written(one) }));
    this.#append(time, { summary: { value } });
  }

  #append({ step, wall }: EventTime, what: Readonly<Record<string, unknown>>): void {
    try {
      appendFileSync(this.path, record(Event.encode({ wallTime: wall, step, ...what }).finish()));
    } catch (error) {
      throw naming(this.path, error);
    }
  }
}

function written(value: Value) {
  if (typeof value === 'number') return { simpleValue: value };
  const RGB = 3;
  const { png, width, height } = value;
  return { image: { height, width, colorspace: RGB, encodedImageString: png } };
}

/** A TFRecord: the length (8 bytes, little-endian), its checksum, the content, its checksum. */
function record(content: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(content.length));
  return Buffer.concat([length, checksum(length), content, checksum(content)]);
}

/** CRC-32C, turned by 15 bits and shifted, as a checksum of data that holds checksums would be weak. */
function checksum(bytes: Uint8Array): Uint8Array {
  const crc = crc32c(bytes);
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  const written = Buffer.alloc(4);
  written.writeUInt32LE(masked);
  return written;
}
