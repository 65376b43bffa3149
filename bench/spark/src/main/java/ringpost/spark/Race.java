package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.Serializable;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.apache.spark.SecurityManager;
import org.apache.spark.SparkConf;
import org.apache.spark.network.util.MapConfigProvider;
import org.apache.spark.network.util.TransportConf;
import org.apache.spark.rpc.RpcEnv;

/**
 * What both sides of the race need. RpcEnv is `private[spark]`: that is a word of Scala's, which a class file does not know. In
 * Java it is public, and so are its companions' methods, default arguments among them.
 */
final class Race {
  /** As in bench/messages.ts; goes as a case class would, through Java's serializer. */
  static final class Small implements Serializable {
    private static final long serialVersionUID = 1L;
    final int id;
    final String op;
    final int by;

    Small(int id, String op, int by) {
      this.id = id;
      this.op = op;
      this.by = by;
    }
  }

  /** What an endpoint saw since it was last asked: how many messages, and the sum of their weights. */
  static final class Seen implements Serializable {
    private static final long serialVersionUID = 1L;
    final int count;
    final long sum;

    Seen(int count, long sum) {
      this.count = count;
      this.sum = sum;
    }
  }

  private Race() {}

  /** As Spark makes it where nothing is configured. */
  static RpcEnv env(String name, boolean isClient) {
    SparkConf conf = new SparkConf(false);
    SecurityManager security = new SecurityManager(
        conf, SecurityManager.$lessinit$greater$default$2(), SecurityManager.$lessinit$greater$default$3());
    return RpcEnv.create(name, "127.0.0.1", 0, conf, security, isClient);
  }

  static TransportConf transportConf() {
    return new TransportConf("shuffle", MapConfigProvider.EMPTY);
  }

  /** So many bytes, or the small object where `bytes` is null. */
  static Serializable message(JsonNode command) {
    JsonNode bytes = command.get("bytes");
    if (bytes.isNull()) return new Small(123_456, "increment", 7);
    byte[] message = new byte[bytes.asInt()];
    Arrays.fill(message, (byte) 7);
    return message;
  }

  static boolean isSame(Object sent, Object back) {
    if (sent instanceof byte[] bytes) return back instanceof byte[] same && Arrays.equals(bytes, same);
    Small expected = (Small) sent;
    return back instanceof Small small && small.id == expected.id && small.by == expected.by
        && Objects.equals(small.op, expected.op);
  }

  /** A number that depends on what arrived. */
  static long weight(Object message) {
    if (message instanceof byte[] bytes) return bytes.length + bytes[bytes.length - 1];
    Small small = (Small) message;
    return small.id + small.by;
  }

  /** CPU time of all threads of this process, compilers and collectors among them. */
  static double cpuSeconds() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
  }

  static JsonNode cpu() {
    return Lines.JSON.getNodeFactory().numberNode(cpuSeconds());
  }

  /** Which Spark on which JVM this is. */
  static ObjectNode about() {
    List<String> flags = ManagementFactory.getRuntimeMXBean().getInputArguments();
    List<String> collectors =
        ManagementFactory.getGarbageCollectorMXBeans().stream().map(bean -> bean.getName()).toList();
    return Lines.JSON.createObjectNode()
        .put("spark", org.apache.spark.package$.MODULE$.SPARK_VERSION())
        .put("java", System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"))
        .put("flags", String.join(" ", flags))
        .put("collectors", String.join(", ", collectors))
        .put("cores", Runtime.getRuntime().availableProcessors());
  }
}
