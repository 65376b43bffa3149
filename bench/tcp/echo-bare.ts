/** A bare socket: each frame goes back as it came, or with the argument `packs` unpacked and packed again if it is no bytes. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Packr } from "msgpackr";
import { FrameWriter, readFrames } from "./bare-frames.js";
import { serveParent } from "./server-process.js";

const FIXMAP = 0x80;
const packs = process.argv[2] === "packs";
const packr = new Packr({ useRecords: false });
const server = createServer({ noDelay: true }, (socket) => {
  const writer = new FrameWriter(socket);
  readFrames(socket, (bytes, start, end) => {
    // A packed object of a few fields begins so; the bytes of this bench do not.
    if (!packs || (bytes[start] as number) < FIXMAP) writer.write(bytes, start, end);
    else {
      const packed = packr.pack(packr.unpack(bytes.subarray(start, end)));
      writer.write(packed, 0, packed.length);
    }
  });
  // A client that ends may reset its connection.
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
serveParent((server.address() as AddressInfo).port, async () => server.close());
