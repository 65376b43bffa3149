package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.IOException;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.spark.network.buffer.ManagedBuffer;
import org.apache.spark.network.shuffle.BlockFetchingListener;
import org.apache.spark.network.shuffle.DownloadFile;
import org.apache.spark.network.shuffle.DownloadFileManager;
import org.apache.spark.network.shuffle.ExternalBlockStoreClient;
import org.apache.spark.network.shuffle.SimpleDownloadFile;
import org.apache.spark.network.shuffle.protocol.ExecutorShuffleInfo;
import org.apache.spark.network.util.TransportConf;

/**
 * An ExternalBlockStoreClient of Spark, of the application that the second argument names. Says {"ready": true}. Commands:
 * `register`, `fetch` (answers when every block has succeeded or failed for the last time, with all that the listener was told),
 * `remove`, `localDirs`, `diagnose`.
 */
public final class BlockClientMain {
  private static final String HOST = "127.0.0.1";
  private static final long ANSWER_SECONDS = 60;

  private final ExternalBlockStoreClient client;

  private BlockClientMain(ExternalBlockStoreClient client) {
    this.client = client;
  }

  public static void main(String[] args) throws Exception {
    Setup setup = new Setup(args[0]);
    try (ExternalBlockStoreClient client = new ExternalBlockStoreClient(setup.conf, null, false, 30_000)) {
      client.init(args[1]);
      Lines.say(Lines.JSON.createObjectNode().put("ready", true));
      Lines.run(new BlockClientMain(client)::command);
    }
  }

  private void command(long id, String what, JsonNode command) throws Exception {
    int port = command.get("port").asInt();
    switch (what) {
      case "register" -> {
        ExecutorShuffleInfo info = new ExecutorShuffleInfo(strings(command.get("localDirs")),
            command.path("subDirs").asInt(64), "org.apache.spark.shuffle.sort.SortShuffleManager");
        client.registerWithShuffleServer(HOST, port, command.get("executor").asText(), info);
        Lines.answer(id, Lines.JSON.nullNode());
      }
      case "fetch" -> {
        String[] blocks = strings(command.get("blocks"));
        DownloadFileManager files = command.has("folder") ? new Files(new File(command.get("folder").asText())) : null;
        client.fetchBlocks(HOST, port, command.get("executor").asText(), blocks, new Told(id, blocks), files);
      }
      case "remove" -> {
        Future<Integer> removed =
            client.removeBlocks(HOST, port, command.get("executor").asText(), strings(command.get("blocks")));
        Lines.answer(id, Lines.JSON.getNodeFactory().numberNode(removed.get(ANSWER_SECONDS, TimeUnit.SECONDS)));
      }
      case "localDirs" -> {
        CompletableFuture<Map<String, String[]>> dirs = new CompletableFuture<>();
        client.getHostLocalDirs(HOST, port, strings(command.get("executors")), dirs);
        Lines.answer(id, Lines.JSON.valueToTree(dirs.get(ANSWER_SECONDS, TimeUnit.SECONDS)));
      }
      case "diagnose" -> Lines.answer(id, Lines.JSON.valueToTree(client.diagnoseCorruption(HOST, port,
          command.get("executor").asText(), command.get("shuffle").asInt(), command.get("map").asLong(),
          command.get("reduce").asInt(), Long.parseLong(command.get("checksum").asText()),
          command.get("algorithm").asText())));
      default -> throw new IllegalArgumentException("no such command: " + what);
    }
  }

  private static String[] strings(JsonNode array) {
    return Lines.JSON.convertValue(array, String[].class);
  }

  /** Keeps what a listener is told; a block may fail more than once, its last word counts. */
  private static final class Told implements BlockFetchingListener {
    private final long id;
    private final Set<String> waiting = new HashSet<>();
    private final ArrayNode ends = Lines.JSON.createArrayNode();

    Told(long id, String[] blocks) {
      this.id = id;
      waiting.addAll(Set.of(blocks));
    }

    @Override
    public void onBlockFetchSuccess(String blockId, ManagedBuffer data) {
      ObjectNode end;
      try {
        end = Content.of(data.nioByteBuffer());
      } catch (IOException error) {
        end = Lines.JSON.createObjectNode().<ObjectNode>set("error", Lines.describe(error));
      }
      ended(blockId, end);
    }

    @Override
    public void onBlockFetchFailure(String blockId, Throwable error) {
      ended(blockId, Lines.JSON.createObjectNode().<ObjectNode>set("error", Lines.describe(error)));
    }

    private synchronized void ended(String blockId, ObjectNode end) {
      ends.add(end.put("block", blockId));
      if (waiting.remove(blockId) && waiting.isEmpty()) Lines.answer(id, ends);
    }
  }

  /** Blocks go into files of this folder. */
  private static final class Files implements DownloadFileManager {
    private final File folder;

    Files(File folder) {
      this.folder = folder;
    }

    @Override
    public DownloadFile createTempFile(TransportConf conf) {
      try {
        return new SimpleDownloadFile(File.createTempFile("block", ".tmp", folder), conf);
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }

    @Override
    public boolean registerTempFileToClean(DownloadFile file) {
      return true;
    }
  }
}
