/** A client and a server of the race, in a process each: Spark's in two JVMs, or Ringpost's. */
import { fileURLToPath } from "node:url";
import { classPathOf } from "../../test/spark/drivers.js";
import { LineProcess } from "../../test/spark/line-process.js";
import type { Group } from "../rounds.js";

/** What is sent: so many bytes, or the small object. */
interface Sent {
  readonly bytes: number | null;
}

/** Asks of an endpoint that echoes, `depth` of them outstanding. */
export interface Asks extends Sent {
  readonly depth: number;
  readonly count: number;
}

/** One-way messages in windows, each acknowledged by the answer of an ask behind it. `count` is a multiple of `window`. */
export interface Sends extends Sent {
  readonly window: number;
  readonly count: number;
}

/** Chunks of a stream, `depth` of them asked for ahead. */
export interface Chunks {
  readonly byteCount: number;
  readonly count: number;
  readonly depth: number;
}

export type Work =
  | ({ readonly do: "asks" } & Asks)
  | ({ readonly do: "sends" } & Sends)
  | ({ readonly do: "chunks" } & Chunks);

/** What a client tells of its work; or, with both sides' CPU time, what a racer tells of it. */
export interface Lap {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Times from an ask to its answer, of asks only. */
  readonly p50Us?: number;
  readonly p99Us?: number;
}

/** Which Spark on which JVM. */
export interface About {
  readonly spark: string;
  readonly java: string;
  readonly flags: string;
  readonly collectors: string;
  readonly cores: number;
}

/** What such a server says first. */
interface Listening {
  readonly listening: number;
  readonly blocks: number;
  readonly about?: About;
}

/**
 * What Spark's own scripts pass to a JVM of 17 and later (JavaModuleOptions), without which Netty's buffers are slower; and a heap
 * that is never short of memory. The rest is what Java does by itself.
 */
const OPENED = "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util java.util.concurrent";
const OPENED_OF_SUN = "java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar";
const JVM_FLAGS = [
  "-Xms1g",
  "-Xmx1g",
  "-XX:+IgnoreUnrecognizedVMOptions",
  ...`${OPENED} jdk.internal.ref ${OPENED_OF_SUN}`
    .split(" ")
    .map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`),
  "-Djdk.reflect.useDirectMethodHandle=false",
  "-Dio.netty.tryReflectionSetAccessible=true",
  ...(process.env.RINGPOST_JVM_FLAGS?.split(" ") ?? []),
];

export class Racer implements AsyncDisposable {
  readonly name: string;
  readonly group: Group;
  /** Null for Ringpost. */
  readonly about: About | null;
  readonly #server: LineProcess;
  readonly #client: LineProcess;

  private constructor(group: Group, server: LineProcess, client: LineProcess, about: About | null) {
    this.group = group;
    this.name = about === null ? group : `Spark ${about.spark}`;
    this.about = about;
    this.#server = server;
    this.#client = client;
  }

  /** @param memoryBytes of which there are chunks. */
  static ringpost(memoryBytes: number): Promise<Racer> {
    const path = (module: string): string => fileURLToPath(new URL(`./ringpost-${module}.js`, import.meta.url));
    return Racer.#start("ringpost", memoryBytes, process.execPath, {
      server: [path("server")],
      client: [path("client")],
    });
  }

  /** @param folder of build/, where its drivers are. */
  static spark(memoryBytes: number, folder: string): Promise<Racer> {
    const flags = [...JVM_FLAGS, "-cp", classPathOf(folder)];
    return Racer.#start("spark", memoryBytes, "java", {
      server: [...flags, "ringpost.spark.RaceServerMain"],
      client: [...flags, "ringpost.spark.RaceClientMain"],
    });
  }

  static async #start(
    group: Group,
    memoryBytes: number,
    command: string,
    args: { readonly server: readonly string[]; readonly client: readonly string[] },
  ): Promise<Racer> {
    const server = new LineProcess(command, [...args.server, String(memoryBytes)]);
    try {
      const { listening, blocks, about = null } = (await server.first) as Listening;
      const client = new LineProcess(command, [...args.client, String(listening), String(blocks)]);
      await client.first;
      return new Racer(group, server, client, about);
    } catch (error) {
      await server.kill();
      throw error;
    }
  }

  /** Throws where an answer was wrong. */
  async run(work: Work): Promise<Lap> {
    const { do: what, ...command } = work;
    const serverBefore = await this.#server.ask<number>("cpu");
    const lap = await this.#client.ask<Lap>(what, command);
    const serverAfter = await this.#server.ask<number>("cpu");
    return { ...lap, cpuSeconds: lap.cpuSeconds + serverAfter - serverBefore };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#client.kill(), this.#server.kill()]);
  }
}
