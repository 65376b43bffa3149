/**
 * How a message of a handler on a message loop names its target on the way to loop 0, and why its ask has ended. Both
 * ends of the outbound ring use this file.
 *
 * SENDER: the endpoint's id as a hint, above it the length of its name in UTF-8. The name follows the payload. With flag
 * REMOTE the endpoint is on another node: its place follows the name, and stands with its length where else the hint is.
 */
const HINT_BITS = 16;
const HINT_MASK = 0xffff;

export function packTarget(id: number, nameBytes: number): number {
  return id | (nameBytes << HINT_BITS);
}

export function targetHint(sender: number): number {
  return sender & HINT_MASK;
}

export function targetNameBytes(sender: number): number {
  return sender >>> HINT_BITS;
}

/** SENDER of ASK_ENDED: why. */
export const AskEnd = { ABORTED: 0, TIMED_OUT: 1 } as const;
export type AskEnd = (typeof AskEnd)[keyof typeof AskEnd];
