/** A bare socket: each frame goes back as it came. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { FrameWriter, readFrames } from "./bare-frames.js";
import { serveParent } from "./server-process.js";

const server = createServer({ noDelay: true }, (socket) => {
  const writer = new FrameWriter(socket);
  readFrames(socket, (bytes, start, end) => writer.write(bytes, start, end));
  // A client that ends may reset its connection.
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
serveParent((server.address() as AddressInfo).port, async () => server.close());
