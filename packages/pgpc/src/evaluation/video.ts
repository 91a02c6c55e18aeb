// Frames of a video file, which ffmpeg decodes.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { promisify } from 'node:util';
import { DatasetError, type RgbImage } from '@pgpc/datasets';

const run = promisify(execFile);

/** One frame. */
export interface Frame {
  /** Its place in the video, from 0. */
  readonly number: number;
  readonly image: RgbImage;
}

/** @throws Error that says how to get it, where ffmpeg is not installed. */
async function ffmpeg(program: string, args: readonly string[]): Promise<string> {
  try {
    return (await run(program, [...args], { maxBuffer: 2 ** 24 })).stdout;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Error(
        `videos are read by ffmpeg, and ${program} is not installed: apt-get install ffmpeg (Debian, Ubuntu), dnf install ffmpeg-free (Fedora)`,
      );
    }
    throw error;
  }
}

/** How ffmpeg is told to leave out no frame and to repeat none; the option changed its name with 5.1. */
async function keepFrames(): Promise<string[]> {
  const [, major, minor] = /^ffmpeg version n?(\d+)\.(\d+)/.exec(await ffmpeg('ffmpeg', ['-version'])) ?? [];
  const isOld = Number(major) < 5 || (Number(major) === 5 && Number(minor) < 1);
  return isOld ? ['-vsync', '0'] : ['-fps_mode', 'passthrough'];
}

/** The first stream that is a video, not the picture on the cover of a piece of music. */
const STREAM = 'V:0';

/** A name as ffmpeg takes it for a file, though it begins with a dash or has a colon in it. */
const asFile = (file: string) => path.resolve(file);

/**
 * Frames that a video has, by its packets, without decoding; a damaged one gives fewer.
 * @throws DatasetError if it cannot be read or has none; Error where ffmpeg is not installed.
 */
export async function countFrames(file: string): Promise<number> {
  await keepFrames();
  const asked = ['-select_streams', STREAM, '-show_entries', 'packet=flags', '-of', 'csv=p=0'];
  const output = await ffmpeg('ffprobe', ['-v', 'error', ...asked, asFile(file)]).catch((error) => {
    if (typeof error.stderr !== 'string') throw error;
    throw unreadable(file, error.stderr);
  });
  // D: a video that was cut without coding it anew keeps frames before its beginning, which are not shown.
  const count = output.split('\n').filter((flags) => flags !== '' && !flags.includes('D')).length;
  if (count === 0) throw unreadable(file, 'it has no video frame');
  return count;
}

export interface VideoOptions {
  /** Every so many frames are given, from the first on. */
  readonly every: number;
  readonly signal?: AbortSignal | undefined;
  /** Told at the end what ffmpeg said of damage in a video that it read to its end. */
  readonly onDamage?: ((said: string) => void) | undefined;
}

/**
 * Every `every`-th frame from the first on, turned as the file says, at 8 bits a channel. Decoding waits while a frame is not
 * taken.
 * @throws DatasetError where the video cannot be read to its end, after the frames before; the signal's reason once it is
 *   aborted.
 */
export async function* videoFrames(
  file: string,
  { every, signal, onDamage }: VideoOptions,
): AsyncGenerator<Frame> {
  const child = spawn(
    'ffmpeg',
    [
      ...['-nostdin', '-v', 'error', '-i', asFile(file), '-map', `0:${STREAM}`],
      ...['-vf', `select=not(mod(n\\,${every}))`, ...(await keepFrames())],
      // PPM: each frame tells its size. Without a format, a video of 10 bits would come in 16.
      ...['-f', 'image2pipe', '-c:v', 'ppm', '-pix_fmt', 'rgb24', 'pipe:1'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) },
  );
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    // Of a badly damaged video there are lines for every frame; the first and the last say what is wrong.
    said += text.toString();
    if (said.length > 2 ** 16) said = `${said.slice(0, 2 ** 12)}\n${said.slice(-(2 ** 12))}`;
  });
  const ended = once(child, 'close') as Promise<[code: number | null]>;
  // Told of where it is awaited; a reader that leaves early does not wait for it.
  ended.catch(() => {});
  try {
    let number = 0;
    for await (const image of pictures(child.stdout)) {
      yield { number, image };
      number += every;
    }
    const [code] = await ended;
    // Ctrl-C in a terminal reaches ffmpeg, too.
    signal?.throwIfAborted();
    if (code !== 0) throw unreadable(file, said);
    if (said.trim() !== '') onDamage?.(linesOf(file, said)[0]!);
  } finally {
    child.kill();
  }
}

/** What ffmpeg said, line by line, without the file's name and addresses in memory. */
function linesOf(file: string, said: string): string[] {
  const lines = said.trim().split('\n');
  return lines.map((line) => line.replace(/^\[\S+ @ 0x[0-9a-f]+\] /, '').replace(`${asFile(file)}: `, ''));
}

function unreadable(file: string, said: string): DatasetError {
  const why = linesOf(file, said).at(-1)! || 'ffmpeg failed';
  return new DatasetError(`${file}: not a readable video: ${why}`, { kind: 'undecodable', file });
}

/** Magic number, width, height and greatest value (255) of a PPM file of bytes, with one blank behind each. */
const HEADER = /^P6\s(\d+)\s(\d+)\s255\s/;

/** PPM files one behind another. */
async function* pictures(stream: AsyncIterable<Buffer>): AsyncGenerator<RgbImage> {
  let head: Buffer = Buffer.alloc(0);
  let image: { width: number; height: number; data: Buffer; filled: number } | undefined;
  for await (const read of stream) {
    let rest = read;
    while (rest.length > 0) {
      if (image === undefined) {
        head = Buffer.concat([head, rest]);
        const header = HEADER.exec(head.subarray(0, 64).toString('latin1'));
        if (header === null) break;
        const [width, height] = [Number(header[1]), Number(header[2])];
        image = { width, height, data: Buffer.allocUnsafeSlow(3 * width * height), filled: 0 };
        rest = head.subarray(header[0].length);
        head = Buffer.alloc(0);
      }
      const taken = rest.copy(image.data, image.filled);
      image.filled += taken;
      rest = rest.subarray(taken);
      if (image.filled < image.data.length) break;
      const { width, height, data } = image;
      image = undefined;
      yield { width, height, data };
    }
  }
}
