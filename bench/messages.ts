/** What the benches send. */
export type Message = Small | Uint8Array;

export interface Small {
  readonly id: number;
  readonly op: string;
  readonly by: number;
}

/** About 40 bytes packed with its keys. */
export function smallObject(): Small {
  return { id: 123_456, op: "increment", by: 7 };
}

export function bytes(length: number): Uint8Array {
  return new Uint8Array(length).fill(7);
}

/** True for the same bytes, or the same fields. */
export function isSame(sent: Message, back: unknown): boolean {
  if (sent instanceof Uint8Array) return back instanceof Uint8Array && Buffer.compare(sent, back) === 0;
  const { id, op, by } = back as Small;
  return id === sent.id && op === sent.op && by === sent.by;
}

/** A number that depends on what arrived. */
export function weight(message: Message): number {
  return message instanceof Uint8Array ? message.length + (message.at(-1) ?? 0) : message.id + message.by;
}
