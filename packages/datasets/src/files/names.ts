// Which names of files count: endings of pictures, what systems leave in folders, and names that are no UTF-8.
import path from 'node:path';

/** Endings of the image formats that are read, in lower case; files with capital ones are found too. */
export const IMAGE_ENDINGS: readonly string[] = [
  '.png',
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.webp',
  '.tif',
  '.tiff',
  '.avif',
  '.gif',
];

/** Of the image formats in which numbers stay as they are, which labels need. */
export const LABEL_ENDINGS: readonly string[] = ['.png', '.tif', '.tiff', '.gif'];

/** Of pictures and arrays that are not read. */
const OTHER_ENDINGS: ReadonlySet<string> = new Set(
  (
    '.bmp .dib .heic .heif .jp2 .j2k .jxl .tga .exr .hdr .pfm .pbm .pgm .ppm .pnm .psd .svg .ico .pcx .dds ' +
    '.raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .dcm .nii .mha .mhd .nrrd .fits .npy .npz .mat .h5 .hdf5 ' +
    '.tfrecord .lmdb .mp4 .mov .avi .mkv .zip .tar .7z .rar'
  ).split(' '),
);

/** What operating systems and storage boxes put into folders, in lower case. */
const OF_THE_SYSTEM: ReadonlySet<string> = new Set([
  '__macosx',
  'thumbs.db',
  'ehthumbs.db',
  'desktop.ini',
  '@eadir',
  '#recycle',
  '$recycle.bin',
  'system volume information',
  'lost+found',
]);

/** Hidden files and folders, and what systems leave, are no part of a data set. */
export const isOfTheSystem = (name: string): boolean =>
  name.startsWith('.') || OF_THE_SYSTEM.has(name.toLowerCase());

/** The last ending of a name, in lower case; '' where there is none. */
export const endingOf = (name: string): string => path.extname(name).toLowerCase();

/** Why files of an ending that was not asked for are worth a word; undefined where they are not. */
export function adviceFor(ending: string, what: string, endings: readonly string[]): string | undefined {
  const read = [...new Set(endings.map((end) => end.slice(end.lastIndexOf('.')).toLowerCase()))];
  if (read.includes(ending)) return undefined;
  if (IMAGE_ENDINGS.includes(ending)) {
    return `${what} are read from ${read.join(', ')}, which keep every number as it is`;
  }
  return OTHER_ENDINGS.has(ending) ? 'such files are not read; convert them to PNG' : undefined;
}

/** A name as text, with the bytes that are no UTF-8 as \xNN. @returns undefined where all are */
export function escapedBytes(name: Buffer): string | undefined {
  if (Buffer.from(name.toString('utf8')).equals(name)) return undefined;
  const text = name.toString('latin1');
  return text.replace(/[^ -~]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Text with what a terminal would act on, such as line breaks and zero bytes, as \xNN. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => {
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
