package ringpost.spark;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.network.buffer.NioManagedBuffer;
import org.apache.spark.network.client.MergedBlockMetaResponseCallback;
import org.apache.spark.network.client.RpcResponseCallback;
import org.apache.spark.network.client.StreamCallbackWithID;
import org.apache.spark.network.client.TransportClient;
import org.apache.spark.network.protocol.MergedBlockMetaRequest;
import org.apache.spark.network.server.RpcHandler;
import org.apache.spark.network.server.StreamManager;
import org.apache.spark.network.util.TransportConf;
import org.roaringbitmap.RoaringBitmap;

/**
 * Does what the first word of a request says, up to a space:
 * echo (the rest comes back), size (that many bytes of the pattern), fail (throws the rest), later (fails from elsewhere), never
 * (no answer), open (a stream, see Streams; its id comes back), back (asks the rest of the asker, and gives his answer).
 * Uploads by the first word of their meta: collect, fail-data, fail-end, refuse. One-way messages are kept.
 */
final class EchoHandler extends RpcHandler {
  final ConcurrentLinkedQueue<ObjectNode> events = new ConcurrentLinkedQueue<>();
  final AtomicInteger connections = new AtomicInteger();
  private final Streams streams;

  EchoHandler(TransportConf conf) {
    streams = new Streams(conf);
  }

  @Override
  public void receive(TransportClient client, ByteBuffer message, RpcResponseCallback callback) {
    String word = word(message);
    switch (word) {
      case "echo" -> callback.onSuccess(copy(message));
      case "size" -> callback.onSuccess(ByteBuffer.wrap(Content.pattern(Integer.parseInt(text(message)), 0)));
      case "fail" -> throw new RuntimeException(text(message));
      case "later" -> {
        String why = text(message);
        new Thread(() -> callback.onFailure(new IllegalStateException(why))).start();
      }
      case "never" -> {}
      case "open" -> callback.onSuccess(bytes(Long.toString(open(client, text(message)))));
      case "back" -> client.sendRpc(copy(message), new RpcResponseCallback() {
        @Override
        public void onSuccess(ByteBuffer response) {
          callback.onSuccess(copy(response));
        }

        @Override
        public void onFailure(Throwable error) {
          callback.onFailure(error);
        }
      });
      default -> throw new UnsupportedOperationException(word);
    }
  }

  private long open(TransportClient client, String spec) {
    try {
      return streams.open(Lines.JSON.readTree(spec), client.getChannel());
    } catch (IOException error) {
      throw new IllegalArgumentException(error);
    }
  }

  @Override
  public void receive(TransportClient client, ByteBuffer message) {
    events.add(Content.of(message.duplicate()).put("oneWay", text(message)));
  }

  @Override
  public StreamCallbackWithID receiveStream(TransportClient client, ByteBuffer meta, RpcResponseCallback callback) {
    String word = word(meta);
    String name = text(meta);
    if (word.equals("refuse")) throw new UnsupportedOperationException(name);
    Content content = new Content();
    return new StreamCallbackWithID() {
      @Override
      public String getID() {
        return name;
      }

      @Override
      public void onData(String id, ByteBuffer piece) throws IOException {
        if (word.equals("fail-data")) throw new IOException(name);
        content.add(piece);
      }

      @Override
      public void onComplete(String id) throws IOException {
        if (word.equals("fail-end")) throw new IOException(name);
        events.add(content.tell().put("upload", name));
      }

      @Override
      public void onFailure(String id, Throwable cause) {
        events.add(Lines.JSON.createObjectNode().put("failedUpload", name).put("class", cause.getClass().getName()));
      }
    };
  }

  /** Of reducer 0 there are two merged chunks; of others there is nothing. */
  @Override
  public MergedBlockMetaReqHandler getMergedBlockMetaReqHandler() {
    return (TransportClient client, MergedBlockMetaRequest request, MergedBlockMetaResponseCallback callback) -> {
      if (request.reduceId != 0) {
        callback.onFailure(new RuntimeException("no merged blocks of reducer " + request.reduceId));
        return;
      }
      RoaringBitmap few = RoaringBitmap.bitmapOf(0, 1, 2);
      RoaringBitmap many = new RoaringBitmap();
      many.add(10L, 200_000L);
      many.runOptimize();
      ByteBuffer both = ByteBuffer.allocate(few.serializedSizeInBytes() + many.serializedSizeInBytes());
      few.serialize(both);
      many.serialize(both);
      callback.onSuccess(2, new NioManagedBuffer(both.flip()));
    };
  }

  @Override
  public StreamManager getStreamManager() {
    return streams;
  }

  @Override
  public void channelActive(TransportClient client) {
    connections.incrementAndGet();
  }

  @Override
  public void channelInactive(TransportClient client) {
    connections.decrementAndGet();
  }

  /** What has happened since the last call. */
  ArrayNode takeEvents() {
    ArrayNode taken = Lines.JSON.createArrayNode();
    for (ObjectNode event = events.poll(); event != null; event = events.poll()) taken.add(event);
    return taken;
  }

  private static String word(ByteBuffer message) {
    int start = message.position();
    int end = start;
    while (end < message.limit() && message.get(end) != ' ') end++;
    String word = StandardCharsets.UTF_8.decode(message.duplicate().limit(end)).toString();
    message.position(Math.min(end + 1, message.limit()));
    return word;
  }

  private static String text(ByteBuffer message) {
    return StandardCharsets.UTF_8.decode(message.duplicate()).toString();
  }

  private static ByteBuffer bytes(String text) {
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }

  private static ByteBuffer copy(ByteBuffer message) {
    ByteBuffer copy = ByteBuffer.allocate(message.remaining());
    copy.put(message.duplicate());
    return copy.flip();
  }
}
