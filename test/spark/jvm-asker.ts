/** Spark's TransportClient as an Asker: what it is told is done by the driver TransportClientMain. */
import { type Asker, type End, firstLine, type Merged } from "../fixtures/spark-asker.js";
import type { BufferSpec, Told } from "../fixtures/spark-peer.js";
import type { Jvm } from "./jvm.js";

interface ToldBytes extends Told {
  readonly base64?: string;
}

type JvmEnd = { readonly chunk?: number; readonly name?: string } & Partial<Told> & {
    readonly error?: { readonly class: string; readonly message: string };
  };

export class JvmAsker implements Asker {
  readonly #jvm: Jvm;
  readonly #client: string;

  private constructor(jvm: Jvm, client: string) {
    this.#jvm = jvm;
    this.#client = client;
  }

  static #count = 0;

  static async connect(jvm: Jvm, port: number, pooled = false): Promise<JvmAsker> {
    const client = `client ${JvmAsker.#count++}`;
    await jvm.ask("connect", { client, port, pooled });
    return new JvmAsker(jvm, client);
  }

  async rpc(head: string, patternBytes = 0): Promise<Buffer | Told> {
    return shown(await this.#ask("rpc", { body: base64(head), pattern: patternBytes }));
  }

  /** Blocks the driver meanwhile. */
  async rpcSync(text: string, timeoutMs: number): Promise<Buffer | Told> {
    return shown(await this.#ask("rpcSync", { body: base64(text), timeoutMs }));
  }

  rpcMany(count: number, text: string): Promise<number> {
    return this.#ask("rpcMany", { body: base64(`echo ${text}`), count });
  }

  oneWay(text: string): Promise<void> {
    return this.#ask("oneWay", { body: base64(text) });
  }

  async fetch(streamId: string, chunks: readonly number[]): Promise<End[]> {
    return (await this.#ask<JvmEnd[]>("fetch", { streamId, chunks })).map(endOf);
  }

  async stream(names: readonly string[]): Promise<End[]> {
    return (await this.#ask<JvmEnd[]>("stream", { names })).map(endOf);
  }

  async upload(meta: string, data: BufferSpec): Promise<Buffer | Told> {
    return shown(await this.#ask("upload", { body: base64(meta), data }));
  }

  merged(reduceId: number): Promise<Merged> {
    return this.#ask("meta", { reduceId });
  }

  active(): Promise<boolean> {
    return this.#ask("active");
  }

  close(): Promise<void> {
    return this.#ask("close");
  }

  #ask<Result>(what: string, command: object = {}): Promise<Result> {
    return this.#jvm.ask(what, { client: this.#client, ...command });
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function shown({ base64: text, bytes, sha256 }: ToldBytes): Buffer | Told {
  return text === undefined ? { bytes, sha256 } : Buffer.from(text, "base64");
}

function endOf({ chunk, name, bytes = 0, sha256 = "", error }: JvmEnd): End {
  const what = String(chunk ?? name);
  return error === undefined ? { what, bytes, sha256 } : { what, error: firstLine(error) };
}
