package ringpost.spark;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** What is sent, and how the test is told what has arrived: its length and its SHA-256. */
final class Content {
  private final MessageDigest digest;
  private long bytes = 0;

  Content() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  Content add(ByteBuffer piece) {
    bytes += piece.remaining();
    digest.update(piece);
    return this;
  }

  ObjectNode tell() {
    return Lines.JSON.createObjectNode().put("bytes", bytes).put("sha256", HexFormat.of().formatHex(digest.digest()));
  }

  static ObjectNode of(ByteBuffer bytes) {
    return new Content().add(bytes).tell();
  }

  /** The same bytes as the test's `pattern`. */
  static byte[] pattern(int size, int seed) {
    byte[] bytes = new byte[size];
    for (int i = 0; i < size; i++) bytes[i] = (byte) (i * 31 + (i >> 8) * 7 + (i >> 16) + seed);
    return bytes;
  }
}
