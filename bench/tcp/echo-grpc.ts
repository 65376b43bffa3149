/** grpc-js: unary echoes. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import { EchoClient } from "./grpc-service.js";
import { serveParent } from "./server-process.js";

const echo = ({ request }: ServerUnaryCall<unknown, unknown>, reply: sendUnaryData<unknown>): void =>
  reply(null, request);
const server = new Server();
server.addService(EchoClient.service, { small: echo, body: echo });
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
    if (error === null) resolve(bound);
    else reject(error);
  });
});
serveParent(port, async () => server.forceShutdown());
