/** What is done with a connection before it is used. */
import type { Connection } from "./connection.js";
import type { RpcHandler } from "./rpc-handler.js";
import type { TransportClient } from "./transport-client.js";

export interface TransportServerBootstrap {
  /** Before the first frame of an accepted connection is read. @returns The handler it shall have, the same or one around it. */
  doBootstrap(connection: Connection, rpcHandler: RpcHandler): RpcHandler;
}

export interface TransportClientBootstrap {
  /** Before a new client is handed out. What it throws closes the client and is what `createClient` fails with. */
  doBootstrap(client: TransportClient): void | Promise<void>;
}
