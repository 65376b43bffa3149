package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * How a driver talks with the test that started it: a command is a line of JSON on standard input, {"id": 1, "do": "rpc", …};
 * its answer is a line on standard output, {"id": 1, "result": …} or {"id": 1, "error": …}. Answers come when they are there, in
 * any order. The end of the input ends the driver.
 */
final class Lines {
  static final ObjectMapper JSON = new ObjectMapper();

  private Lines() {}

  /** Answers itself, now or later, through {@link #answer} or {@link #fail}. */
  interface Commands {
    void run(long id, String what, JsonNode command) throws Exception;
  }

  /** Runs commands until the input ends. What a command throws is its answer. */
  static void run(Commands commands) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode command = JSON.readTree(line);
      long id = command.get("id").asLong();
      try {
        commands.run(id, command.get("do").asText(), command);
      } catch (Throwable error) {
        fail(id, error);
      }
    }
  }

  static void answer(long id, JsonNode result) {
    say(JSON.createObjectNode().put("id", id).<ObjectNode>set("result", result));
  }

  static void fail(long id, Throwable error) {
    say(JSON.createObjectNode().put("id", id).<ObjectNode>set("error", describe(error)));
  }

  static ObjectNode describe(Throwable error) {
    ObjectNode node = JSON.createObjectNode();
    node.put("class", error.getClass().getName());
    node.put("message", String.valueOf(error.getMessage()));
    if (error.getCause() != null && error.getCause() != error) node.set("cause", describe(error.getCause()));
    return node;
  }

  /** One line; callers are threads of Netty as well. */
  static void say(JsonNode node) {
    String line = node.toString();
    synchronized (Lines.class) {
      System.out.println(line);
      System.out.flush();
    }
  }
}
