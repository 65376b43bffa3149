package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.network.TransportContext;
import org.apache.spark.network.buffer.ManagedBuffer;
import org.apache.spark.network.client.ChunkReceivedCallback;
import org.apache.spark.network.client.MergedBlockMetaResponseCallback;
import org.apache.spark.network.client.RpcResponseCallback;
import org.apache.spark.network.client.StreamCallback;
import org.apache.spark.network.client.TransportClient;
import org.apache.spark.network.client.TransportClientFactory;
import org.roaringbitmap.RoaringBitmap;

/**
 * TransportClients of Spark, each under the name that `connect` gave it. Bodies are base64; an answer is told by its length, its
 * SHA-256 and, if it is short, in base64.
 */
public final class TransportClientMain {
  private static final int SHOWN_BYTES = 1024;

  private final Map<String, TransportClient> clients = new ConcurrentHashMap<>();
  private final TransportClientFactory factory;
  private final Streams buffers;

  private TransportClientMain(TransportClientFactory factory, Streams buffers) {
    this.factory = factory;
    this.buffers = buffers;
  }

  public static void main(String[] args) throws Exception {
    Setup setup = new Setup(args[0]);
    // Asked back by the server, it answers as the server does.
    EchoHandler handler = new EchoHandler(setup.conf);
    try (TransportContext context = new TransportContext(setup.conf, handler, setup.closeIdle);
        TransportClientFactory factory = context.createClientFactory(List.of())) {
      TransportClientMain main = new TransportClientMain(factory, new Streams(setup.conf));
      Lines.say(Lines.JSON.createObjectNode().put("ready", true));
      Lines.run(main::command);
    }
  }

  private void command(long id, String what, JsonNode command) throws Exception {
    if (what.equals("connect")) {
      int port = command.get("port").asInt();
      boolean isPooled = command.path("pooled").asBoolean(false);
      TransportClient client =
          isPooled ? factory.createClient("127.0.0.1", port) : factory.createUnmanagedClient("127.0.0.1", port);
      clients.put(command.get("client").asText(), client);
      Lines.answer(id, Lines.JSON.nullNode());
      return;
    }
    TransportClient client = clients.get(command.get("client").asText());
    switch (what) {
      case "rpc" -> client.sendRpc(body(command), told(id));
      case "rpcSync" -> Lines.answer(id, tell(client.sendRpcSync(body(command), command.get("timeoutMs").asLong())));
      case "rpcMany" -> rpcMany(id, client, command.get("count").asInt(), body(command));
      case "oneWay" -> {
        client.send(body(command));
        Lines.answer(id, Lines.JSON.nullNode());
      }
      case "fetch" -> fetch(id, client, command);
      case "stream" -> stream(id, client, command.get("names"));
      case "upload" -> client.uploadStream(new org.apache.spark.network.buffer.NioManagedBuffer(body(command)),
          buffers.buffer(command.get("data")), told(id));
      case "meta" -> meta(id, client, command);
      case "active" -> Lines.answer(id, Lines.JSON.getNodeFactory().booleanNode(client.isActive()));
      case "close" -> {
        client.close();
        Lines.answer(id, Lines.JSON.nullNode());
      }
      default -> throw new IllegalArgumentException("no such command: " + what);
    }
  }

  /** The same request so many times at once; the answer says how many came back with the same bytes behind the first word. */
  private static void rpcMany(long id, TransportClient client, int count, ByteBuffer body) {
    byte[] bytes = body.array();
    ByteBuffer expected = ByteBuffer.wrap(bytes, "echo ".length(), bytes.length - "echo ".length());
    AtomicInteger left = new AtomicInteger(count);
    AtomicInteger equal = new AtomicInteger();
    for (int i = 0; i < count; i++) {
      client.sendRpc(ByteBuffer.wrap(bytes), new RpcResponseCallback() {
        @Override
        public void onSuccess(ByteBuffer response) {
          if (expected.equals(response)) equal.incrementAndGet();
          end();
        }

        @Override
        public void onFailure(Throwable error) {
          end();
        }

        private void end() {
          if (left.decrementAndGet() == 0) Lines.answer(id, Lines.JSON.getNodeFactory().numberNode(equal.get()));
        }
      });
    }
  }

  /** All chunks are asked for before any has come. Answers with how each ended, in the order in which they did. */
  private static void fetch(long id, TransportClient client, JsonNode command) {
    long streamId = Long.parseLong(command.get("streamId").asText());
    Ends ends = new Ends(id, command.get("chunks").size());
    for (JsonNode chunk : command.get("chunks")) {
      client.fetchChunk(streamId, chunk.asInt(), new ChunkReceivedCallback() {
        @Override
        public void onSuccess(int chunkIndex, ManagedBuffer buffer) {
          try {
            ends.add(Content.of(buffer.nioByteBuffer()).put("chunk", chunkIndex));
          } catch (IOException error) {
            onFailure(chunkIndex, error);
          }
        }

        @Override
        public void onFailure(int chunkIndex, Throwable error) {
          ends.add(failed(error).put("chunk", chunkIndex));
        }
      });
    }
  }

  /** Likewise for streams. */
  private static void stream(long id, TransportClient client, JsonNode names) {
    Ends ends = new Ends(id, names.size());
    for (JsonNode name : names) {
      Content content = new Content();
      client.stream(name.asText(), new StreamCallback() {
        @Override
        public void onData(String streamId, ByteBuffer piece) {
          content.add(piece);
        }

        @Override
        public void onComplete(String streamId) {
          ends.add(content.tell().put("name", streamId));
        }

        @Override
        public void onFailure(String streamId, Throwable error) {
          ends.add(failed(error).put("name", streamId));
        }
      });
    }
  }

  private static void meta(long id, TransportClient client, JsonNode command) {
    client.sendMergedBlockMetaReq("app", 1, 2, command.get("reduceId").asInt(), new MergedBlockMetaResponseCallback() {
      @Override
      public void onSuccess(int numChunks, ManagedBuffer bitmaps) {
        try {
          ArrayNode counts = Lines.JSON.createArrayNode();
          ByteBuffer bytes = bitmaps.nioByteBuffer();
          for (int i = 0; i < numChunks; i++) {
            RoaringBitmap bitmap = new RoaringBitmap();
            bitmap.deserialize(bytes);
            bytes.position(bytes.position() + bitmap.serializedSizeInBytes());
            counts.add(bitmap.getCardinality());
          }
          Lines.answer(id, Lines.JSON.createObjectNode().put("chunks", numChunks).put("left", bytes.remaining())
              .<ObjectNode>set("counts", counts));
        } catch (IOException error) {
          Lines.fail(id, error);
        }
      }

      @Override
      public void onFailure(Throwable error) {
        Lines.fail(id, error);
      }
    });
  }

  private static RpcResponseCallback told(long id) {
    return new RpcResponseCallback() {
      @Override
      public void onSuccess(ByteBuffer response) {
        Lines.answer(id, tell(response));
      }

      @Override
      public void onFailure(Throwable error) {
        Lines.fail(id, error);
      }
    };
  }

  private static ObjectNode failed(Throwable error) {
    return Lines.JSON.createObjectNode().<ObjectNode>set("error", Lines.describe(error));
  }

  private static ObjectNode tell(ByteBuffer response) {
    byte[] bytes = new byte[response.remaining()];
    response.duplicate().get(bytes);
    ObjectNode told = Content.of(ByteBuffer.wrap(bytes));
    if (bytes.length <= SHOWN_BYTES) told.put("base64", Base64.getEncoder().encodeToString(bytes));
    return told;
  }

  private static ByteBuffer body(JsonNode command) {
    byte[] head = Base64.getDecoder().decode(command.get("body").asText());
    int size = command.path("pattern").asInt(0);
    byte[] body = Arrays.copyOf(head, head.length + size);
    System.arraycopy(Content.pattern(size, 0), 0, body, head.length, size);
    return ByteBuffer.wrap(body);
  }

  /** Collects how several things ended; the last one answers. */
  private static final class Ends {
    private final long id;
    private final int count;
    private final ArrayNode ends = Lines.JSON.createArrayNode();

    Ends(long id, int count) {
      this.id = id;
      this.count = count;
    }

    synchronized void add(ObjectNode end) {
      ends.add(end);
      if (ends.size() == count) Lines.answer(id, ends);
    }
  }
}
