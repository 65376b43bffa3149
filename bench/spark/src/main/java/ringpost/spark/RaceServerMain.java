package ringpost.spark;

import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.List;
import org.apache.spark.network.TransportContext;
import org.apache.spark.network.buffer.ManagedBuffer;
import org.apache.spark.network.buffer.NioManagedBuffer;
import org.apache.spark.network.client.RpcResponseCallback;
import org.apache.spark.network.client.TransportClient;
import org.apache.spark.network.server.OneForOneStreamManager;
import org.apache.spark.network.server.RpcHandler;
import org.apache.spark.network.server.StreamManager;
import org.apache.spark.network.server.TransportServer;
import org.apache.spark.rpc.RpcEnv;

/**
 * The server of the race: an RpcEnv with the endpoints `echo` and `sink`, and a TransportServer with chunks from memory. Argument:
 * how many bytes of memory there are. Says {"listening": port of the RpcEnv, "blocks": the other port, "about": …}; `cpu` is
 * its CPU time in seconds.
 */
public final class RaceServerMain {
  private RaceServerMain() {}

  public static void main(String[] args) throws Exception {
    RpcEnv env = Race.env("race server", false);
    env.setupEndpoint("echo", new RaceEndpoints.Echo(env));
    env.setupEndpoint("sink", new RaceEndpoints.Sink(env));
    // Outside of the heap, so that Netty need not copy it to write it.
    ByteBuffer memory = ByteBuffer.allocateDirect(Integer.parseInt(args[0]));
    try (TransportContext context = new TransportContext(Race.transportConf(), new Blocks(memory));
        TransportServer server = context.createServer("127.0.0.1", 0, List.of())) {
      Lines.say(Lines.JSON.createObjectNode().put("listening", env.address().port()).put("blocks", server.getPort())
          .set("about", Race.about()));
      Lines.run((id, what, command) -> {
        switch (what) {
          case "cpu" -> Lines.answer(id, Race.cpu());
          default -> throw new IllegalArgumentException("no such command: " + what);
        }
      });
    }
    env.shutdown();
  }

  /** Registers the chunks that a wish names (bench/tcp/bare-fetch.ts); answers with the id of their stream. */
  private static final class Blocks extends RpcHandler {
    private final OneForOneStreamManager streams = new OneForOneStreamManager();
    private final ByteBuffer memory;

    Blocks(ByteBuffer memory) {
      this.memory = memory;
    }

    @Override
    public void receive(TransportClient client, ByteBuffer wish, RpcResponseCallback callback) {
      int byteCount = (int) wish.getLong();
      wish.getInt();
      int count = wish.getInt();
      List<ManagedBuffer> chunks =
          Collections.nCopies(count, new NioManagedBuffer(memory.duplicate().limit(byteCount)));
      long streamId = streams.registerStream("race", chunks.iterator(), client.getChannel());
      callback.onSuccess(ByteBuffer.allocate(Long.BYTES).putLong(0, streamId));
    }

    @Override
    public StreamManager getStreamManager() {
      return streams;
    }
  }
}
