import Ajv from 'ajv';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import schema from '../../engine/export/provenance.schema.json';
import { version } from '../../package.json';
import type { Provenance } from '../../shared/protocol/engine';

/** Knows what results refer to. */
export const schemas = (): Ajv => new Ajv({ allErrors: true, allowUnionTypes: true }).addSchema(schema);

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

/** Holds what a file of results says of its making against the files themselves. */
export function assertMadeFrom(
  source: unknown,
  { model, inputs }: { model: string | null; inputs: Record<string, string | Uint8Array> },
): void {
  const ajv = schemas();
  assert.ok(ajv.validate(schema.$id, source), ajv.errorsText());
  const { tool, model: read, inputs: given, device } = source as Provenance;
  assert.deepEqual(tool, { name: 'attention-inspector', version });
  assert.deepEqual(
    given,
    Object.entries(inputs).map(([name, data]) => ({ name, sha256: sha256(data) })),
  );
  assert.equal(device.device, 'cpu');
  assert.ok(device.threads >= 1 && device.threads <= device.processors);
  if (model === null) return assert.equal(read, null);
  const names = read!.files.map(({ file }) => file);
  assert.ok(names.some(name => name.endsWith('.onnx')) && names.includes('tokenizer.json'), String(names));
  for (const { file, sha256: hash } of read!.files) {
    assert.equal(hash, sha256(readFileSync(join(model, file))), file);
  }
  assert.equal(read!.sha256, sha256(read!.files.map(one => `${one.sha256}  ${one.file}\n`).join('')));
}
