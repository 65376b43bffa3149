/** The body of a request or an answer as its sender has it: one array, or parts that belong one behind the other. */
export type RpcBody = Uint8Array | readonly Uint8Array[];

export function bytesOf(body: RpcBody): number {
  if (body instanceof Uint8Array) return body.length;
  let bytes = 0;
  for (const part of body) bytes += part.length;
  return bytes;
}

export function writeBody(body: RpcBody, target: Uint8Array, at: number): void {
  if (body instanceof Uint8Array) {
    target.set(body, at);
    return;
  }
  let offset = at;
  for (const part of body) {
    target.set(part, offset);
    offset += part.length;
  }
}
