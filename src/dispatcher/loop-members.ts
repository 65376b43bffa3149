/**
 * Who is which member of which ready set.
 *
 * A loop's own set and the shared set: member 0 is the loop's mailbox, member e the Inbox of endpoint e.
 * Loop 0's set: the outbound ring of loop k; the mailbox of loop k, when it has room again; the Inbox of endpoint e,
 * when it has room again. Loops come first, so that few endpoints mean few words to look at.
 */
import { ENDPOINTS_MAX, LOOPS_MAX } from "../common/limits.js";

export const ENDPOINT_MEMBERS = ENDPOINTS_MAX + 1;
export const LOOP_ZERO_MEMBERS = 2 * LOOPS_MAX + ENDPOINT_MEMBERS;

export function outboundMember(loop: number): number {
  return loop;
}

export function mailboxRoomMember(loop: number): number {
  return LOOPS_MAX + loop;
}

export function inboxRoomMember(endpoint: number): number {
  return 2 * LOOPS_MAX + endpoint;
}

/** The three in reverse, for loop 0: what a member of its set stands for. */
export function isOutboundMember(member: number): boolean {
  return member < LOOPS_MAX;
}

export function isMailboxRoomMember(member: number): boolean {
  return member >= LOOPS_MAX && member < 2 * LOOPS_MAX;
}

export function loopOfMailboxRoom(member: number): number {
  return member - LOOPS_MAX;
}

export function endpointOfInboxRoom(member: number): number {
  return member - 2 * LOOPS_MAX;
}
