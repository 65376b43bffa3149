/**
 * Binds a server to a host and a port: not beyond this machine where peers prove nothing, and to the next port where one
 * is taken, by Spark's rule.
 */
import { lookup } from "node:dns/promises";
import { type AddressInfo, BlockList, isIP, type Server } from "node:net";
import { shown } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import { hostPort } from "./dial.js";
import type { PeerAddress } from "./transport-security.js";

export interface BindOptions {
  /** A name or an address of this machine; `0.0.0.0` or `::` for all of them. */
  readonly host: string;
  /** 0, for one that is free, or 1024 – 65535. */
  readonly port: number;
  /** Ports tried after one that is taken. */
  readonly maxRetries: number;
  /** Connections that wait to be accepted; 0 or less leaves it to Node.js. */
  readonly backlog: number;
  /** Whether peers prove who they are before anything of theirs is read. */
  readonly authenticates: boolean;
  /** A port was taken, and the next one is tried. */
  readonly onRetry?: ((taken: PeerAddress, nextPort: number) => void) | undefined;
}

const PORT_MIN = 1_024;
const PORT_MAX = 65_535;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** True for an address that is reachable from this machine only; IPv4 written as IPv6 counts as IPv4. */
export function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 6 ? "ipv6" : "ipv4");
}

/**
 * Starts listening.
 *
 * @returns The address it listens on: the host is an address, never a name.
 * Throws ERR_RPC_INSECURE_BIND for a host beyond loopback, or a name that leads to one, where peers prove nothing;
 * ERR_RPC_BIND with the address and what the system says; ERR_RPC_INVALID_ARGUMENT for a port out of range.
 */
export async function bind(server: Server, options: BindOptions): Promise<PeerAddress> {
  const { port, maxRetries } = options;
  if (!Number.isInteger(port) || (port !== 0 && (port < PORT_MIN || port > PORT_MAX))) {
    throw invalid(`port must be 0 or ${PORT_MIN} to ${PORT_MAX}: port=${shown(port)}`);
  }
  const address = await addressOf(options);
  for (let retry = 0; ; retry++) {
    const tried = { host: address, port: portOfRetry(port, retry) };
    try {
      return await listen(server, tried, options.backlog);
    } catch (error) {
      if (!isTaken(error) || retry >= maxRetries) throw bindFailure(tried, options, retry, error);
      options.onRetry?.(tried, portOfRetry(port, retry + 1));
    }
  }
}

/** The port after so many that were taken: it leaves the privileged ones out when it comes to the end. */
export function portOfRetry(start: number, retry: number): number {
  return start === 0 ? 0 : ((start + retry - PORT_MIN) % (PORT_MAX + 1 - PORT_MIN)) + PORT_MIN;
}

/** Resolves the host once, so that what was found harmless is what is bound. */
async function addressOf({ host, port, authenticates }: BindOptions): Promise<string> {
  if (typeof host !== "string" || host === "") {
    throw invalid(`host must be a name or an address of this machine: host=${shown(host)}`);
  }
  const addresses = isIP(host) === 0 ? await resolve(host, port) : [host];
  const beyond = authenticates ? undefined : addresses.find((address) => !isLoopback(address));
  if (beyond !== undefined) {
    const shown = beyond === host ? host : `${host} (${beyond})`;
    throw new RpcError(
      "ERR_RPC_INSECURE_BIND",
      `${shown} can be reached from other machines, and nobody would have to prove who he is: give \`secret\` or ` +
        "`tls`, or bind to 127.0.0.1",
      { address: { host, port } },
    );
  }
  return addresses[0] as string;
}

async function resolve(host: string, port: number): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new RpcError("ERR_RPC_BIND", `cannot bind to ${hostPort({ host, port })}: ${why}`, {
      cause: error,
      address: { host, port },
    });
  }
}

function listen(server: Server, { host, port }: PeerAddress, backlog: number): Promise<PeerAddress> {
  return new Promise((resolve, reject) => {
    const onListening = () => {
      server.off("error", onError);
      const bound = server.address() as AddressInfo;
      resolve({ host: bound.address, port: bound.port });
    };
    const onError = (error: Error) => {
      server.off("listening", onListening);
      reject(error);
    };
    server.once("listening", onListening).once("error", onError);
    server.listen({ host, port, exclusive: true, ...(backlog > 0 ? { backlog } : {}) });
  });
}

function isTaken(error: unknown): boolean {
  return (error as { readonly code?: unknown } | null)?.code === "EADDRINUSE";
}

function bindFailure(tried: PeerAddress, options: BindOptions, retries: number, error: unknown): RpcError {
  const why = error instanceof Error ? error.message : String(error);
  const { host, port, maxRetries } = options;
  const text = !isTaken(error)
    ? `cannot bind to ${hostPort(tried)}: ${why}`
    : `no free port: ${retries + 1} tried from ${hostPort({ host: tried.host, port })} on, the last was ${tried.port}; ` +
      `choose another port, or raise port.maxRetries=${maxRetries}`;
  return new RpcError("ERR_RPC_BIND", text, { cause: error, address: { host, port } });
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
