// Frames of a video file, which ffmpeg decodes.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
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

/**
 * Frames that a video has, by its packets, without decoding; a damaged one gives fewer.
 * @throws DatasetError if it cannot be read; Error where ffmpeg is not installed.
 */
export async function countFrames(file: string): Promise<number> {
  await keepFrames();
  const asked = ['-select_streams', 'v:0', '-count_packets', '-show_entries', 'stream=nb_read_packets'];
  const output = await ffmpeg('ffprobe', ['-v', 'error', ...asked, '-of', 'csv=p=0', file]).catch((error) => {
    if (typeof error.stderr !== 'string') throw error;
    throw unreadable(file, error.stderr);
  });
  const count = Number.parseInt(output, 10);
  if (!(count > 0)) throw unreadable(file, 'it has no frame');
  return count;
}

/**
 * Every `every`-th frame from the first on, turned as the file says. Decoding waits while a frame is not taken.
 * @throws DatasetError where the video cannot be read to its end, after the frames before.
 */
export async function* videoFrames(file: string, every: number, signal?: AbortSignal): AsyncGenerator<Frame> {
  const child = spawn(
    'ffmpeg',
    [
      ...['-nostdin', '-v', 'error', '-i', file, '-map', '0:v:0', '-vf', `select=not(mod(n\\,${every}))`],
      ...(await keepFrames()),
      // PPM: each frame tells its size.
      ...['-f', 'image2pipe', '-c:v', 'ppm', 'pipe:1'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) },
  );
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
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
    if (code !== 0) throw unreadable(file, said);
  } finally {
    child.kill();
  }
}

function unreadable(file: string, said: string): DatasetError {
  const why = said.trim().split('\n').at(-1)!.replace(`${file}: `, '') || 'ffmpeg failed';
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
