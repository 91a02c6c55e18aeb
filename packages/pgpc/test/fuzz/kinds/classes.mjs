// Files that list classes, in each form that people and tools write: YAML, JSON, text, tables.
import { join } from 'node:path';
import { formatClassFile, isMappingFile, readClassFile, readMappingFile } from '@pgpc/datasets';
import { stringify } from 'yaml';
import { readFoundClasses } from '../../../../datasets/dist/classes/find.js';
import { expectSame, judged } from '../judge.mjs';
import { changeValue, jsonOf } from '../plain-values.mjs';
import { changeBytes } from '../random.mjs';

const DEFINITIONS = [
  {
    classes: [
      'road',
      { name: 'car', value: 26, color: '#00008e', kind: 'thing' },
      { name: 'sign', value: [19, 20] },
    ],
    ignore: [0, 34],
  },
  {
    masks: 'colors',
    classes: [
      { name: 'road', color: ['#804080', [1, 2, 3]] },
      { name: 'car', color: '#00008e' },
    ],
    ignore: ['#000000'],
  },
  { masks: 'values', classes: Array.from({ length: 12 }, (_, i) => `class ${i}`) },
];
const MAPPINGS = [
  {
    classes: [
      'road',
      { name: 'pavement', from: ['sidewalk'] },
      { name: 'sign', from: ['light', 3], color: '#dcdc00' },
    ],
    ignore: ['rider'],
  },
  { classes: ['road', 'car'], ignore: 'rest' },
];
const TEXTS = {
  'labelmap.txt': '# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\ncar:0,0,142::\n',
  'class_names.txt': '__ignore__\nroad\ncar\n',
  'label_colors.txt': '64 128 64\tAnimal\n192 0 128\t\tArchway\n0 0 0 Void\n',
  'class_dict.csv': 'name,r,g,b\nAnimal,64,128,64\nArchway,192,0,128\n"Void",0,0,0\n',
};
/** Parts of YAML that a reader may not expect. */
const YAML = [
  '*a',
  '&a ',
  '<<: *a',
  '!!binary x',
  '!!js/function x',
  '? ',
  '- ',
  '{',
  '[',
  '%YAML 1.1\n---\n',
  '...\n',
  '---\n',
  '!!set {a}',
  '|\n',
  '>-\n',
  "'",
  '"',
  '\t',
  '# ',
  ': ',
  '\u0000',
  '\ufeff',
  '1e999',
  '0x1_0',
  '.nan',
  '2001-01-01',
];

function yamlOf(random, value) {
  const changed = random.chance(0.7) ? changeValue(random, value) : value;
  const json = random.chance(0.5);
  const text = json || isDeep(changed) ? jsonOf(changed) : stringify(changed);
  if (random.chance(0.6)) return text;
  const lines = text.split('\n');
  const at = random.below(lines.length);
  const part = random.pick(YAML).repeat(random.pick([1, 1, 2, 60, 3000]));
  if (random.chance(0.5)) lines.splice(at, 0, part);
  else {
    const place = random.below(lines[at].length + 1);
    lines[at] = lines[at].slice(0, place) + part + lines[at].slice(place);
  }
  return lines.join('\n');
}

function isDeep(value, depth = 0) {
  if (depth > 100) return true;
  return (
    typeof value === 'object' && value !== null && Object.values(value).some((one) => isDeep(one, depth + 1))
  );
}

function bytesOf(random, text) {
  const form = random.below(20);
  const bytes = Buffer.from(
    form === 0 ? `\ufeff${text}` : text,
    form === 1 ? 'utf16le' : form === 2 ? 'latin1' : 'utf8',
  );
  return random.chance(0.3) ? changeBytes(random, bytes, 4) : bytes;
}

function make(random) {
  if (random.chance(0.3)) {
    const name = random.pick(Object.keys(TEXTS));
    const text = TEXTS[name];
    const bytes = bytesOf(random, random.chance(0.1) ? text.repeat(200) : text);
    return new Map([[name, random.chance(0.6) ? changeBytes(random, bytes, 4) : bytes]]);
  }
  const value = random.pick(random.chance(0.7) ? DEFINITIONS : MAPPINGS);
  return new Map([[random.pick(['classes.yaml', 'classes.json']), bytesOf(random, yamlOf(random, value))]]);
}

async function read(folder, random, files) {
  const [name] = files.keys();
  const file = join(folder, name);
  if (!name.startsWith('classes.')) {
    return (await judged('readFoundClasses', file, () => readFoundClasses(file))) !== undefined;
  }
  if (random.chance(0.3)) {
    const isMapping = await judged('isMappingFile', file, () => isMappingFile(file));
    const mapping = await judged('readMappingFile', file, () => readMappingFile(file));
    if (mapping) expectSame('isMappingFile', 'kind', isMapping !== false, true);
    return mapping !== undefined;
  }
  const definition = await judged('readClassFile', file, () => readClassFile(file));
  if (definition && random.chance(0.1)) checkWritten(definition);
  return definition !== undefined;
}

/** What is written of classes is read as the same. */
function checkWritten(definition) {
  const { classes, labelCoding } = definition;
  const text = formatClassFile(definition);
  for (const { name } of classes)
    expectSame('formatClassFile', 'names', text.includes('name:') && typeof name, 'string');
  const trainIds = labelCoding.kind === 'values' ? labelCoding.table : labelCoding.trainIds;
  for (const { trainId } of classes)
    expectSame('readClassFile', 'a class without a value', trainIds.includes(trainId), true);
}

export const classes = { lanes: 8, make, read };
