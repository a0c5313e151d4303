/**
 * Node's IPC hands out typed arrays that are windows into the buffer of their whole message. Kept as they are, a
 * thumbnail would hold the message alive and be posted to a webview with all of it. This gives each its own buffer.
 */
export function ownBuffers<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) {
    if (value.byteLength === value.buffer.byteLength) return value;
    const bytes = value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength);
    const View = Buffer.isBuffer(value) ? Uint8Array : value.constructor;
    return new (View as new (buffer: ArrayBufferLike) => T)(bytes);
  }
  if (value instanceof ArrayBuffer) return value;
  // Messages are trees of plain objects and arrays that nobody else holds: replaced in place.
  const holder = value as Record<string, unknown>;
  for (const key of Object.keys(holder)) {
    const member = holder[key];
    if (typeof member === 'object' && member !== null) holder[key] = ownBuffers(member);
  }
  return value;
}
