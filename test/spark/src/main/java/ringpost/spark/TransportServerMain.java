package ringpost.spark;

import java.util.List;
import org.apache.spark.network.TransportContext;
import org.apache.spark.network.server.TransportServer;

/**
 * A TransportServer of Spark with EchoHandler behind it. Says {"listening": port}. Commands: `events` (what one-way messages and
 * uploads have come since the last time), `connections` (open ones).
 */
public final class TransportServerMain {
  private TransportServerMain() {}

  public static void main(String[] args) throws Exception {
    Setup setup = new Setup(args[0]);
    EchoHandler handler = new EchoHandler(setup.conf);
    try (TransportContext context = new TransportContext(setup.conf, handler, setup.closeIdle);
        TransportServer server = context.createServer("127.0.0.1", args.length > 1 ? Integer.parseInt(args[1]) : 0, List.of())) {
      Lines.say(Lines.JSON.createObjectNode().put("listening", server.getPort()));
      Lines.run((id, what, command) -> {
        switch (what) {
          case "events" -> Lines.answer(id, handler.takeEvents());
          case "connections" -> Lines.answer(id, Lines.JSON.getNodeFactory().numberNode(handler.connections.get()));
          default -> throw new IllegalArgumentException("no such command: " + what);
        }
      });
    }
  }
}
