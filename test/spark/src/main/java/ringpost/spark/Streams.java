package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import io.netty.channel.Channel;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.spark.network.buffer.FileSegmentManagedBuffer;
import org.apache.spark.network.buffer.ManagedBuffer;
import org.apache.spark.network.buffer.NioManagedBuffer;
import org.apache.spark.network.client.TransportClient;
import org.apache.spark.network.server.OneForOneStreamManager;
import org.apache.spark.network.util.TransportConf;

/**
 * Spark's own OneForOneStreamManager, and beside its streams: some whose chunks may be had in any order and more than once
 * (negative ids), and some that a name describes.
 */
final class Streams extends OneForOneStreamManager {
  private final TransportConf conf;
  private final Map<Long, List<ManagedBuffer>> loose = new ConcurrentHashMap<>();
  private final AtomicLong nextLoose = new AtomicLong(-1);

  Streams(TransportConf conf) {
    this.conf = conf;
  }

  /** {"chunks": [{"size": 10, "seed": 1}, {"file": "…", "offset": 0, "length": 5}, null], "loose": false} */
  long open(JsonNode spec, Channel channel) {
    List<ManagedBuffer> buffers = new ArrayList<>();
    for (JsonNode chunk : spec.get("chunks")) buffers.add(chunk.isNull() ? null : buffer(chunk));
    if (!spec.path("loose").asBoolean(false)) return registerStream("app", buffers.iterator(), channel);
    long streamId = nextLoose.getAndDecrement();
    loose.put(streamId, buffers);
    return streamId;
  }

  ManagedBuffer buffer(JsonNode spec) {
    if (spec.has("file")) {
      long length = spec.get("length").asLong();
      return new FileSegmentManagedBuffer(conf, new File(spec.get("file").asText()), spec.path("offset").asLong(0), length);
    }
    return new NioManagedBuffer(ByteBuffer.wrap(Content.pattern(spec.get("size").asInt(), spec.path("seed").asInt(0))));
  }

  @Override
  public ManagedBuffer getChunk(long streamId, int chunkIndex) {
    List<ManagedBuffer> chunks = loose.get(streamId);
    return chunks == null ? super.getChunk(streamId, chunkIndex) : chunks.get(chunkIndex);
  }

  /** `<streamId>_<chunkIndex>`; else the buffer that the name describes in JSON; `none`, `refused`. */
  @Override
  public ManagedBuffer openStream(String name) {
    if (name.equals("none")) return null;
    if (name.startsWith("refused")) throw new IllegalStateException(name);
    if (!name.startsWith("{")) return super.openStream(name);
    try {
      return buffer(Lines.JSON.readTree(name));
    } catch (java.io.IOException error) {
      throw new IllegalArgumentException(error);
    }
  }

  /** Streams with a name of their own are everybody's. */
  @Override
  public void checkAuthorization(TransportClient client, String name) {
    if (name.matches("\\d+_\\d+")) super.checkAuthorization(client, name);
  }

  @Override
  public void streamBeingSent(String name) {
    if (!name.startsWith("{")) super.streamBeingSent(name);
  }

  @Override
  public void streamSent(String name) {
    if (!name.startsWith("{")) super.streamSent(name);
  }
}
