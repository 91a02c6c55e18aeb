// Event files of TensorBoard: TFRecords of the protocol buffer `Event` (event.proto and summary.proto of
// tensorflow/tensorboard, tensorboard/compat/proto).

import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PbfWriter } from 'pbf';
import { crc32c } from './crc32c.js';

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
    file.#append({ step: 0, wall }, (event) => event.writeStringField(3, 'brain.Event:2'));
    if (resumedAt !== undefined) {
      const START = 1;
      file.#append({ step: resumedAt, wall }, (event) =>
        event.writeMessage(7, (status: number, log) => log.writeVarintField(1, status), START),
      );
    }
    return file;
  }

  /** Appends numbers, and pictures, by their tags. */
  write(time: EventTime, values: Readonly<Record<string, Value>>): void {
    this.#append(time, (event) => event.writeMessage(5, writeSummary, Object.entries(values)));
  }

  #append({ step, wall }: EventTime, what: (event: PbfWriter) => void): void {
    const event = new PbfWriter();
    event.writeDoubleField(1, wall);
    event.writeVarintField(2, step);
    what(event);
    appendFileSync(this.path, record(event.finish()));
  }
}

function writeSummary(values: readonly [string, Value][], summary: PbfWriter): void {
  for (const value of values) summary.writeMessage(1, writeValue, value);
}

function writeValue([tag, value]: readonly [string, Value], pbf: PbfWriter): void {
  pbf.writeStringField(1, tag);
  if (typeof value === 'number') pbf.writeFloatField(2, value);
  else pbf.writeMessage(4, writePicture, value);
}

function writePicture({ png, width, height }: EventPicture, pbf: PbfWriter): void {
  const RGB = 3;
  pbf.writeVarintField(1, height);
  pbf.writeVarintField(2, width);
  pbf.writeVarintField(3, RGB);
  pbf.writeBytesField(4, png);
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
