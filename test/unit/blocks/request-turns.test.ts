/** Who has his turn when, what is refused, and that nothing is left held: RequestTurns by itself. */
import { describe, expect, it } from "vitest";
import { type Asker, RequestTurns, type TurnBounds } from "../../../dist/src/blocks/request-turns.js";
import { REQUEST_ENTRY_BYTES } from "../../../dist/src/common/block-limits.js";
import { failureOf } from "../../fixtures/transport.js";

const BOUNDS: TurnBounds = {
  atOnceMax: 3,
  atOncePerConnectionMax: 2,
  heldBytesMax: 10 * REQUEST_ENTRY_BYTES,
  heldBytesPerConnectionMax: 6 * REQUEST_ENTRY_BYTES,
};

/** Work that notes when it begins, and ends when it is told. */
class Desk {
  readonly begun: string[] = [];
  readonly turns = new RequestTurns("removals", BOUNDS);
  readonly #ends = new Map<string, () => void>();

  ask(asker: Asker, name: string): Promise<string> {
    return this.turns.run(asker, 0, async (checkWanted) => {
      this.begun.push(name);
      await new Promise<void>((resolve) => this.#ends.set(name, resolve));
      checkWanted();
      return name;
    });
  }

  async end(name: string, answer: Promise<unknown>): Promise<void> {
    this.#ends.get(name)?.();
    await answer.catch(() => {});
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("turns", () => {
  it("are taken in order by a connection, and by one connection after the other", async () => {
    const desk = new Desk();
    const [a, b] = [{ isActive: true }, { isActive: true }];
    const answers = new Map<string, Promise<string>>();
    for (const name of ["a1", "a2", "a3", "a4"]) answers.set(name, desk.ask(a, name));
    for (const name of ["b1", "b2"]) answers.set(name, desk.ask(b, name));
    await settled();
    // Two of a, then b has the third place.
    expect(desk.begun).toEqual(["a1", "a2", "b1"]);
    const order = ["a1", "a2", "b1", "a3", "b2", "a4"];
    for (const name of order) {
      await desk.end(name, answers.get(name) as Promise<string>);
      await settled();
    }
    expect(desk.begun).toEqual(order);
    expect(await Promise.all(answers.values())).toEqual(["a1", "a2", "a3", "a4", "b1", "b2"]);
    expect(desk.turns.heldBytes).toBe(0);
  });

  it("are refused beyond what one connection, and all of them, may hold; room comes back with each answer", async () => {
    const desk = new Desk();
    const [a, b] = [{ isActive: true }, { isActive: true }];
    const first = desk.ask(a, "a1");
    for (let count = 2; count <= 6; count++) void desk.ask(a, `a${count}`).catch(() => {});
    const ofOne = await failureOf(desk.ask(a, "a7"));
    expect(ofOne).toMatchObject({ code: "ERR_RPC_INBOX_FULL", retryable: true });
    expect(ofOne.message).toMatch(/too many removals of this connection are under way: bytes=7168, max=6144/);
    for (let count = 1; count <= 4; count++) void desk.ask(b, `b${count}`).catch(() => {});
    expect((await failureOf(desk.ask(b, "b5"))).message).toMatch(/of all connections .*bytes=11264, max=10240/);
    await desk.end("a1", first);
    void desk.ask(b, "b5").catch(() => {});
    expect(desk.turns.heldBytes).toBe(10 * REQUEST_ENTRY_BYTES);
    const long = await failureOf(desk.turns.run(a, 6 * REQUEST_ENTRY_BYTES, async () => {}));
    expect(long).toMatchObject({ code: "ERR_RPC_MESSAGE_TOO_LARGE", retryable: false });
    desk.turns.close();
  });

  it.each([
    ["of a connection that has ended", "ERR_RPC_CONNECTION_LOST"],
    ["of a service that closes", "ERR_RPC_ENV_STOPPED"],
  ] as const)(
    "%s are given up: those that wait at once, those that are worked on when they look",
    async (_what, code) => {
      const desk = new Desk();
      const asker = { isActive: true };
      const answers = ["1", "2", "3", "4"].map((name) => desk.ask(asker, name));
      const failures = answers.map((answer) => failureOf(answer));
      await settled();
      if (code === "ERR_RPC_ENV_STOPPED") desk.turns.close();
      else {
        asker.isActive = false;
        desk.turns.forget(asker);
      }
      expect(await Promise.all(failures.slice(2))).toMatchObject([{ code }, { code }]);
      for (const name of ["1", "2"]) await desk.end(name, Promise.resolve());
      expect(await Promise.all(failures.slice(0, 2))).toMatchObject([{ code }, { code }]);
      expect(desk.begun).toEqual(["1", "2"]);
      expect(desk.turns.heldBytes).toBe(0);
      expect(await failureOf(desk.ask(asker, "5"))).toMatchObject({ code });
    },
  );
});
