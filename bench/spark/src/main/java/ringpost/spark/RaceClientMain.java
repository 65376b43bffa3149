package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.network.TransportContext;
import org.apache.spark.network.buffer.ManagedBuffer;
import org.apache.spark.network.client.ChunkReceivedCallback;
import org.apache.spark.network.client.TransportClient;
import org.apache.spark.network.client.TransportClientFactory;
import org.apache.spark.network.server.NoOpRpcHandler;
import org.apache.spark.rpc.RpcAddress;
import org.apache.spark.rpc.RpcEndpointRef;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.util.ThreadUtils;
import scala.concurrent.Future;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/**
 * The client of the race, one connection to each port. Arguments: the ports of the RpcEnv and of the blocks. Commands: `asks`,
 * `sends`, `chunks`; each answers with its seconds and the CPU seconds of this process, or fails where an answer was wrong.
 */
public final class RaceClientMain {
  private static final long HUNG_MS = 100_000;
  private static final int WISH_BYTES = 16;
  /** Windows under way at a time: one is sent while the other is acknowledged. */
  private static final int WINDOWS = 2;

  private final RpcEndpointRef echo;
  private final RpcEndpointRef sink;
  private final TransportClient blocks;

  private RaceClientMain(RpcEndpointRef echo, RpcEndpointRef sink, TransportClient blocks) {
    this.echo = echo;
    this.sink = sink;
    this.blocks = blocks;
  }

  public static void main(String[] args) throws Exception {
    RpcEnv env = Race.env("race client", true);
    RpcAddress address = new RpcAddress("127.0.0.1", Integer.parseInt(args[0]));
    try (TransportContext context = new TransportContext(Race.transportConf(), new NoOpRpcHandler());
        TransportClientFactory factory = context.createClientFactory(List.of())) {
      RaceClientMain main = new RaceClientMain(env.setupEndpointRef(address, "echo"), env.setupEndpointRef(address, "sink"),
          factory.createClient("127.0.0.1", Integer.parseInt(args[1])));
      Lines.say(Lines.JSON.createObjectNode().put("ready", true));
      Lines.run((id, what, command) -> {
        switch (what) {
          case "asks" -> Lines.answer(id, main.asks(command));
          case "sends" -> Lines.answer(id, main.sends(command));
          case "chunks" -> Lines.answer(id, main.chunks(command));
          default -> throw new IllegalArgumentException("no such command: " + what);
        }
      });
    }
    env.shutdown();
  }

  /** `depth` lanes, each with one ask under way. */
  private ObjectNode asks(JsonNode command) throws Exception {
    Asks asks = new Asks(echo, Race.message(command), command.get("count").asInt());
    Lap lap = new Lap();
    for (int lane = 0; lane < command.get("depth").asInt(); lane++) asks.next();
    asks.done.get(HUNG_MS, TimeUnit.MILLISECONDS);
    ObjectNode result = lap.end();
    Arrays.sort(asks.nanoseconds);
    return result.put("p50Us", asks.percentile(0.5)).put("p99Us", asks.percentile(0.99));
  }

  /** An ask follows on an answer in the thread in which that comes: nothing is handed over. */
  private static final class Asks {
    private static final ClassTag<Object> ANY = ClassTag$.MODULE$.apply(Object.class);

    final CompletableFuture<Void> done = new CompletableFuture<>();
    final long[] nanoseconds;
    private final RpcEndpointRef ref;
    private final Serializable message;
    private final AtomicInteger started = new AtomicInteger();
    private final AtomicInteger ended = new AtomicInteger();

    Asks(RpcEndpointRef ref, Serializable message, int count) {
      this.ref = ref;
      this.message = message;
      nanoseconds = new long[count];
    }

    void next() {
      int index = started.getAndIncrement();
      if (index >= nanoseconds.length) return;
      long begunAt = System.nanoTime();
      Future<Object> answer = ref.ask(message, ANY);
      answer.onComplete(end -> {
        nanoseconds[index] = System.nanoTime() - begunAt;
        if (end.isFailure()) done.completeExceptionally(end.failed().get());
        else if (!Race.isSame(message, end.get())) done.completeExceptionally(new AssertionError("an answer was wrong"));
        else if (ended.incrementAndGet() == nanoseconds.length) done.complete(null);
        else next();
        return null;
      }, ThreadUtils.sameThread());
    }

    double percentile(double share) {
      return nanoseconds[(int) (nanoseconds.length * share)] / 1e3;
    }
  }

  /** Windows of one-way messages, each with an ask behind it that tells what has arrived. */
  private ObjectNode sends(JsonNode command) throws Exception {
    Serializable message = Race.message(command);
    int window = command.get("window").asInt();
    ArrayDeque<Future<Race.Seen>> acknowledgements = new ArrayDeque<>();
    ClassTag<Race.Seen> seen = ClassTag$.MODULE$.apply(Race.Seen.class);
    Lap lap = new Lap();
    for (int left = command.get("count").asInt(); left > 0; left -= window) {
      for (int i = 0; i < window; i++) sink.send(message);
      acknowledgements.add(sink.ask("seen", seen));
      if (acknowledgements.size() == WINDOWS) check(acknowledgements.remove(), window, message);
    }
    while (!acknowledgements.isEmpty()) check(acknowledgements.remove(), window, message);
    return lap.end();
  }

  private static void check(Future<Race.Seen> acknowledgement, int window, Object message) throws Exception {
    CompletableFuture<Race.Seen> seen = new CompletableFuture<>();
    acknowledgement.onComplete(end -> {
      if (end.isSuccess()) seen.complete(end.get());
      else seen.completeExceptionally(end.failed().get());
      return null;
    }, ThreadUtils.sameThread());
    Race.Seen told = seen.get(HUNG_MS, TimeUnit.MILLISECONDS);
    if (told.count != window || told.sum != window * Race.weight(message)) {
      throw new AssertionError(told.count + " of " + window + " messages arrived, sum " + told.sum);
    }
  }

  /** `depth` chunks of one stream are asked for ahead. */
  private ObjectNode chunks(JsonNode command) throws Exception {
    int byteCount = command.get("byteCount").asInt();
    int count = command.get("count").asInt();
    ByteBuffer wish = ByteBuffer.allocate(WISH_BYTES).putLong(byteCount).putInt(0).putInt(count).flip();
    Lap lap = new Lap();
    long streamId = blocks.sendRpcSync(wish, HUNG_MS).getLong();
    Chunks chunks = new Chunks(blocks, streamId, byteCount, count);
    int depth = command.get("depth").asInt();
    // All from the one thread: chunks have to be asked for in their order.
    blocks.getChannel().eventLoop().execute(() -> {
      for (int lane = 0; lane < depth; lane++) chunks.next();
    });
    chunks.done.get(HUNG_MS, TimeUnit.MILLISECONDS);
    return lap.end();
  }

  private static final class Chunks implements ChunkReceivedCallback {
    final CompletableFuture<Void> done = new CompletableFuture<>();
    private final TransportClient client;
    private final long streamId;
    private final int byteCount;
    private final int count;
    private int started = 0;
    private int ended = 0;

    Chunks(TransportClient client, long streamId, int byteCount, int count) {
      this.client = client;
      this.streamId = streamId;
      this.byteCount = byteCount;
      this.count = count;
    }

    void next() {
      if (started < count) client.fetchChunk(streamId, started++, this);
    }

    @Override
    public void onSuccess(int index, ManagedBuffer buffer) {
      if (buffer.size() != byteCount) onFailure(index, new AssertionError(buffer.size() + " of " + byteCount + " bytes"));
      else if (++ended == count) done.complete(null);
      else next();
    }

    @Override
    public void onFailure(int index, Throwable error) {
      done.completeExceptionally(error);
    }
  }

  /** The time since it was made, of the clock and of all cores. */
  private static final class Lap {
    private final long begunAt = System.nanoTime();
    private final double cpuBefore = Race.cpuSeconds();

    ObjectNode end() {
      double seconds = (System.nanoTime() - begunAt) / 1e9;
      return Lines.JSON.createObjectNode().put("seconds", seconds).put("cpuSeconds", Race.cpuSeconds() - cpuBefore);
    }
  }
}
