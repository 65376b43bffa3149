/** Opens TCP connections, name look-up included, within one time limit. */
import { connect, type Socket } from "node:net";
import { shown } from "../common/check-options.js";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { TIMEOUT_MS_MAX } from "../common/limits.js";
import { SocketReads } from "./socket-reads.js";

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Milliseconds, or Infinity. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a connection. Nothing listens to its data.
 *
 * @param readsInto its bytes go through the socket's SocketReads, instead of its events.
 * Throws ERR_RPC_CONNECT with the address and what the system says; the signal's reason when that is aborted.
 */
export async function dialTcp(target: DialTarget, clock: Clock, readsInto = false): Promise<Socket> {
  const { host, port } = target;
  target.signal?.throwIfAborted();
  const reads = readsInto ? new SocketReads() : null;
  const onread = reads === null ? {} : { onread: reads.onread };
  const socket = connect({ host, port, noDelay: true, keepAlive: true, ...onread });
  reads?.belongTo(socket);
  const tooLate = `connecting to ${hostPort(target)} timed out: timeoutMs=${target.timeoutMs}`;
  await untilOr(socket, target, clock, {
    event: "connect",
    failed: (error) => failure(error, target),
    late: () => new RpcError("ERR_RPC_CONNECT", tooLate, { address: { host, port } }),
  });
  return socket;
}

export interface Awaited {
  /** The event of the socket that is waited for. */
  readonly event: string;
  /** What an error of the socket is to the caller; null: it closed without one. */
  failed(error: Error | null): RpcError;
  /** What it is that the time is over; null: the wait is, and all is well. */
  late(): RpcError | null;
}

/** Waits for an event of a socket, at most for the target's time. A socket that does not come to it is destroyed. */
export async function untilOr(
  socket: Socket,
  target: DialTarget,
  clock: Clock,
  { event, failed, late }: Awaited,
): Promise<void> {
  const { signal, timeoutMs } = target;
  let end = () => {};
  const awaited = new Promise<void>((resolve, reject) => {
    const onError = (error: Error) => reject(failed(error));
    const onClose = () => reject(failed(null));
    const onAbort = () => reject(signal?.reason);
    const onTimeout = () => {
      const error = late();
      if (error === null) resolve();
      else reject(error);
    };
    const timer = Number.isFinite(timeoutMs) ? clock.setTimeout(onTimeout, Math.min(timeoutMs, TIMEOUT_MS_MAX)) : null;
    socket.once(event, resolve).once("error", onError).once("close", onClose);
    signal?.addEventListener("abort", onAbort, { once: true });
    end = () => {
      if (timer !== null) clock.clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off(event, resolve).off("error", onError).off("close", onClose);
    };
  });
  // An error between this and the moment its owner listens would end the process; he sees `destroyed`.
  socket.on("error", ignore);
  try {
    await awaited;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    end();
  }
}

function ignore(): void {}

const PORT_MAX = 65_535;

/** Throws ERR_RPC_INVALID_ARGUMENT for what is no host, or no port that somebody can listen on. */
export function checkPeer(host: unknown, port: unknown): void {
  if (typeof host !== "string" || host === "") throw invalid(`host must be a name or an address: host=${shown(host)}`);
  if (typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= PORT_MAX) return;
  throw invalid(`port must be an integer from 1 to ${PORT_MAX}: port=${shown(port)}`);
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

/** `host:port`, an IPv6 address in brackets. */
export function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function failure(error: Error | null, target: DialTarget): RpcError {
  const why = error === null ? "the connection was closed" : reasonOf(error);
  const { host, port } = target;
  return new RpcError("ERR_RPC_CONNECT", `failed to connect to ${hostPort(target)}: ${why}`, {
    cause: error ?? undefined,
    address: { host, port },
  });
}

/** A name with several addresses fails with one error for each of them, under a text that says nothing. */
function reasonOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message;
  return error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join("; ");
}
