/** A driver of this folder in its JVM. */
import { classPathOf } from "./drivers.js";
import { LineProcess } from "./line-process.js";
import type { SparkLine } from "./spark-lines.js";

/** Starts fast on a small machine; a test is over before the better compiler has paid for itself. */
const FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx768m", "-Dfile.encoding=UTF-8"];

export interface JvmOptions {
  /** Keys of Spark. */
  readonly conf?: Readonly<Record<string, string>>;
  readonly closeIdle?: boolean;
  readonly tls?: { readonly folder: string; readonly key: string; readonly cert: string; readonly ca: string };
}

export class Jvm extends LineProcess {
  /** @param main the driver's class, one of ringpost.spark. */
  constructor(line: SparkLine, main: string, options: JvmOptions = {}, ...args: readonly string[]) {
    const classPath = classPathOf(`spark-${line}`);
    super("java", [...FLAGS, "-cp", classPath, `ringpost.spark.${main}`, JSON.stringify(options), ...args]);
  }

  /** A driver that has said that it is there, and the port on which it listens. */
  static async started(line: SparkLine, main: string, options?: JvmOptions, ...args: readonly string[]) {
    const jvm = new Jvm(line, main, options, ...args);
    const { listening = 0 } = (await jvm.first) as { listening?: number };
    return { jvm, port: listening };
  }
}
