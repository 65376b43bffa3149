package ringpost.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.apache.spark.network.util.MapConfigProvider;
import org.apache.spark.network.util.TransportConf;

/**
 * The argument of a driver: {"conf": {"spark.shuffle.io.connectionTimeout": "2s"}, "closeIdle": false, "tls": {…}}. `tls` has a
 * folder and a key, a certificate and an authority in PEM; Spark 4 wants key stores, which are written to that folder.
 */
final class Setup {
  private static final String PASSWORD = "password";

  final TransportConf conf;
  final boolean closeIdle;

  Setup(String argument) throws Exception {
    JsonNode options = Lines.JSON.readTree(argument);
    Map<String, String> values = new HashMap<>();
    // A test's machine is small, and no test needs more threads.
    values.put("spark.shuffle.io.serverThreads", "2");
    values.put("spark.shuffle.io.clientThreads", "2");
    if (options.has("tls")) secure(values, options.get("tls"));
    options.path("conf").fields().forEachRemaining(entry -> values.put(entry.getKey(), entry.getValue().asText()));
    conf = new TransportConf("shuffle", new MapConfigProvider(values));
    closeIdle = options.path("closeIdle").asBoolean(false);
  }

  private static void secure(Map<String, String> values, JsonNode tls) throws IOException, GeneralSecurityException {
    Path folder = Files.createTempDirectory(Path.of(tls.get("folder").asText()), "stores");
    Certificate own = certificate(tls.get("cert").asText());
    Certificate authority = certificate(tls.get("ca").asText());
    KeyStore keys = empty();
    Certificate[] chain = {own, authority};
    keys.setKeyEntry("own", privateKey(tls.get("key").asText()), PASSWORD.toCharArray(), chain);
    KeyStore trusted = empty();
    trusted.setCertificateEntry("authority", authority);
    values.put("spark.ssl.rpc.enabled", "true");
    values.put("spark.ssl.rpc.protocol", "TLSv1.3");
    values.put("spark.ssl.rpc.keyStore", write(keys, folder.resolve("keys.p12")));
    values.put("spark.ssl.rpc.keyStorePassword", PASSWORD);
    values.put("spark.ssl.rpc.keyPassword", PASSWORD);
    values.put("spark.ssl.rpc.trustStore", write(trusted, folder.resolve("trusted.p12")));
    values.put("spark.ssl.rpc.trustStorePassword", PASSWORD);
  }

  private static KeyStore empty() throws IOException, GeneralSecurityException {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    return store;
  }

  private static String write(KeyStore store, Path path) throws IOException, GeneralSecurityException {
    try (OutputStream out = Files.newOutputStream(path)) {
      store.store(out, PASSWORD.toCharArray());
    }
    return path.toString();
  }

  private static Certificate certificate(String pem) throws GeneralSecurityException {
    byte[] bytes = pem.getBytes(StandardCharsets.US_ASCII);
    return CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(bytes));
  }

  private static PrivateKey privateKey(String pem) throws GeneralSecurityException {
    String base64 = pem.replaceAll("-----[A-Z ]+-----|\\s", "");
    return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64)));
  }
}
