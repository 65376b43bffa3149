package ringpost.spark;

import java.util.function.Consumer;
import org.apache.spark.rpc.RpcCallContext;
import org.apache.spark.rpc.RpcEndpoint;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.rpc.ThreadSafeRpcEndpoint;
import scala.Function1;
import scala.PartialFunction;
import scala.runtime.AbstractPartialFunction;
import scala.runtime.BoxedUnit;

/** The endpoints that are raced against. */
final class RaceEndpoints {
  private RaceEndpoints() {}

  /** Concurrent: any thread of the dispatcher takes the next message. */
  static final class Echo implements RpcEndpoint {
    private final RpcEnv env;

    Echo(RpcEnv env) {
      this.env = env;
    }

    @Override
    public RpcEnv rpcEnv() {
      return env;
    }

    @Override
    public PartialFunction<Object, BoxedUnit> receiveAndReply(RpcCallContext context) {
      return new Handler(context::reply);
    }
  }

  /** Serial, so that the ask behind the sends is answered after them. */
  static final class Sink implements ThreadSafeRpcEndpoint {
    private final RpcEnv env;
    private int count = 0;
    private long sum = 0;
    private final Handler add = new Handler(message -> {
      count++;
      sum += Race.weight(message);
    });

    Sink(RpcEnv env) {
      this.env = env;
    }

    @Override
    public RpcEnv rpcEnv() {
      return env;
    }

    @Override
    public PartialFunction<Object, BoxedUnit> receive() {
      return add;
    }

    @Override
    public PartialFunction<Object, BoxedUnit> receiveAndReply(RpcCallContext context) {
      return new Handler(message -> {
        Race.Seen seen = new Race.Seen(count, sum);
        count = 0;
        sum = 0;
        context.reply(seen);
      });
    }
  }

  /** What scalac makes of `{ case message => … }`. */
  private static final class Handler extends AbstractPartialFunction<Object, BoxedUnit> {
    private final Consumer<Object> handle;

    Handler(Consumer<Object> handle) {
      this.handle = handle;
    }

    @Override
    public boolean isDefinedAt(Object message) {
      return true;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <A1, B1> B1 applyOrElse(A1 message, Function1<A1, B1> otherwise) {
      handle.accept(message);
      return (B1) BoxedUnit.UNIT;
    }
  }
}
