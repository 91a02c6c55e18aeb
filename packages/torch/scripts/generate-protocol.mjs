// Writes both sides of what JavaScript and C++ agree on, from native/protocol.json: src/generated/protocol.ts and
// native/generated/protocol.h. With --check it writes nothing and fails where a file is not what it would write.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const at = (path) => new URL(`../${path}`, import.meta.url);
const protocol = JSON.parse(readFileSync(at('native/protocol.json'), 'utf8'));
const NOTE = '// Generated from native/protocol.json by scripts/generate-protocol.mjs: do not edit.';

const entries = Object.entries;
const sections = protocol.functions.map((section) => ({
  ...section,
  all: [...entries(section.bare ?? {}), ...entries(section.functions)],
}));
/** intList -> INT_LIST */
const upper = (name) => name.replace(/[A-Z]/g, '_$&').toUpperCase();
/** intList -> kIntList */
const constant = (name) => `k${name[0].toUpperCase()}${name.slice(1)}`;
const record = (dtypes) => entries(dtypes).map(([name, { code }]) => `  ${name}: ${code},`);
const names = (values) =>
  `[${Object.keys(values)
    .map((name) => `'${name}'`)
    .join(', ')}] as const`;

function method([name, { type, does }], optional) {
  const [args, result = 'void'] = type.split(' => ');
  const note = optional ? ['Only where `cudaFeatures()` says so.'] : [];
  const text = [...(does ? [does] : []), ...note].join(' ');
  return [...(text ? [`  /** ${text} */`] : []), `  ${name}${args}: ${result};`];
}

const typescript = [
  NOTE,
  '',
  "import type { BuildInfo, SchemaOverload } from '../native-types.js';",
  '',
  '// Tags of the values in the command buffer.',
  ...entries(protocol.tags).map(([name, tag]) => `export const ${upper(name)} = ${tag};`),
  '',
  '// What a call leaves in command[0].',
  ...entries(protocol.statuses).map(([name, status]) => `export const ${upper(name)} = ${status};`),
  '',
  "/** Element types that have a form in JavaScript, by c10::ScalarType's values. */",
  'export const dtypeCodes = {',
  ...record(protocol.dtypes),
  '} as const;',
  '',
  '/** Types whose elements have no form in JavaScript; operators may still take and give such tensors. */',
  'export const foreignDtypeCodes = {',
  ...record(protocol.foreignDtypes),
  '} as const;',
  '',
  '// In the order of their values in libtorch.',
  `export const memoryFormats = ${names(protocol.memoryFormats)};`,
  `export const layouts = ${names(protocol.layouts)};`,
  '',
  '/** What the addon exports; a handle of 0 is no tensor. */',
  'export interface Native {',
  ...sections.flatMap((section) => [
    `  // native/${section.file}`,
    ...section.all.flatMap((fn) => method(fn, section.if)),
  ]),
  '}',
];

const guard = (section, lines) => (section.if ? [`#ifdef ${section.if}`, ...lines, '#endif'] : lines);
const asserts = (kind, values) =>
  values.map(
    ([c10, value]) =>
      `static_assert(static_cast<int>(${kind}::${c10}) == ${value}, "${kind}::${c10} has moved");`,
  );
const dtypes = entries({ ...protocol.dtypes, ...protocol.foreignDtypes }).map(([, { c10, code }]) => [
  c10,
  code,
]);

const cpp = [
  NOTE,
  '#pragma once',
  '',
  '#include <c10/core/Layout.h>',
  '#include <c10/core/MemoryFormat.h>',
  '#include <c10/core/ScalarType.h>',
  '#include <napi.h>',
  '',
  ...asserts('c10::ScalarType', dtypes),
  ...asserts(
    'c10::MemoryFormat',
    Object.values(protocol.memoryFormats).map((name, i) => [name, i]),
  ),
  ...asserts(
    'c10::Layout',
    Object.values(protocol.layouts).map((name, i) => [name, i]),
  ),
  '',
  'namespace bridge {',
  '',
  '// Tags of the values in the command buffer.',
  'enum Tag {',
  ...entries(protocol.tags).map(([name, tag]) => `  ${constant(name)} = ${tag},`),
  '};',
  '',
  '// What a call leaves in command[0].',
  'enum Status {',
  ...entries(protocol.statuses).map(([name, status]) => `  ${constant(name)} = ${status},`),
  '};',
  '',
  ...sections.flatMap((section) => [
    `// ${section.file}`,
    ...guard(section, [
      ...Object.keys(section.bare ?? {}).map((name) => `napi_value ${name}(napi_env, napi_callback_info);`),
      ...Object.keys(section.functions).map((name) => `Napi::Value ${name}(const Napi::CallbackInfo& info);`),
    ]),
    '',
  ]),
  '/** Makes every function above an export of the addon. */',
  'inline void exportAll(Napi::Env env, Napi::Object exports) {',
  '  napi_value bare;',
  ...sections.flatMap((section) =>
    guard(section, [
      ...Object.keys(section.bare ?? {}).flatMap((name) => [
        `  napi_create_function(env, "${name}", NAPI_AUTO_LENGTH, ${name}, nullptr, &bare);`,
        `  exports.Set("${name}", Napi::Value(env, bare));`,
      ]),
      ...Object.keys(section.functions).map(
        (name) => `  exports.Set("${name}", Napi::Function::New(env, ${name}, "${name}"));`,
      ),
    ]),
  ),
  '}',
  '',
  '}  // namespace bridge',
];

const stale = [];
for (const [path, lines] of [
  ['src/generated/protocol.ts', typescript],
  ['native/generated/protocol.h', cpp],
]) {
  const text = `${lines.join('\n')}\n`;
  if (process.argv.includes('--check')) {
    if (readFileSync(at(path), 'utf8') !== text) stale.push(path);
  } else {
    mkdirSync(new URL('.', at(path)), { recursive: true });
    writeFileSync(at(path), text);
  }
}
if (stale.length > 0) {
  console.error(
    `${stale.join(' and ')} in packages/torch are not what native/protocol.json says: run \`node packages/torch/scripts/generate-protocol.mjs\``,
  );
  process.exit(1);
}
