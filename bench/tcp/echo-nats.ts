/** NATS: answers requests that come by way of the nats-server on this port. */
import { connect } from "@nats-io/transport-node";
import { serveParent } from "./server-process.js";

const port = Number(process.argv[2]);
const connection = await connect({ servers: `127.0.0.1:${port}` });
// Bytes go back as they came; an object is read and written again, as the others do.
connection.subscribe("body", {
  callback: (_error, message) => {
    message.respond(message.data);
  },
});
connection.subscribe("small", {
  callback: (_error, message) => {
    message.respond(JSON.stringify(message.json()));
  },
});
await connection.flush();
serveParent(port, () => connection.close());
