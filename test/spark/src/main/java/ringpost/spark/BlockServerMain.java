package ringpost.spark;

import java.io.File;
import java.util.List;
import org.apache.spark.network.TransportContext;
import org.apache.spark.network.server.TransportServer;
import org.apache.spark.network.shuffle.ExternalBlockHandler;

/**
 * Spark's external shuffle service without its process: an ExternalBlockHandler. The third argument is where it
 * keeps who has registered; without it that ends with the process. Says
 * {"listening": port}. Commands: `applicationRemoved` (app, cleanup), `executorRemoved` (app, executor).
 */
public final class BlockServerMain {
  private BlockServerMain() {}

  public static void main(String[] args) throws Exception {
    Setup setup = new Setup(args[0]);
    ExternalBlockHandler handler = new ExternalBlockHandler(setup.conf, args.length > 2 ? new File(args[2]) : null);
    try (TransportContext context = new TransportContext(setup.conf, handler, true);
        TransportServer server = context.createServer("127.0.0.1", args.length > 1 ? Integer.parseInt(args[1]) : 0, List.of())) {
      Lines.say(Lines.JSON.createObjectNode().put("listening", server.getPort()));
      Lines.run((id, what, command) -> {
        String app = command.get("app").asText();
        switch (what) {
          case "applicationRemoved" -> handler.applicationRemoved(app, command.get("cleanup").asBoolean());
          case "executorRemoved" -> handler.executorRemoved(command.get("executor").asText(), app);
          default -> throw new IllegalArgumentException("no such command: " + what);
        }
        Lines.answer(id, Lines.JSON.nullNode());
      });
      handler.close();
    }
  }
}
