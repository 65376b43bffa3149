/** Names and ids of the endpoints of an env. Main thread only. */
import { RpcError } from "../common/errors.js";
import { ENDPOINTS_MAX } from "../common/limits.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { RefTarget } from "./ref-poster.js";

/** Stands for a name whose endpoint is being made. */
const RESERVED = { state: EndpointState.STARTING } as HostedEndpoint;

export class EndpointDirectory {
  readonly #byName = new Map<string, HostedEndpoint>();
  /** By id; id 0 is no endpoint's. */
  readonly #byId: (HostedEndpoint | undefined)[] = [undefined];
  readonly #freeIds: number[] = [];
  /** Names of endpoints that are being made, or were forgotten, by the id that is kept for them. */
  readonly #reserved = new Map<number, string>();
  #generation = 0;

  get all(): HostedEndpoint[] {
    return this.#byId.filter((endpoint) => endpoint !== undefined);
  }

  /** The endpoint of that name, in whatever state. */
  find(name: string): HostedEndpoint | undefined {
    return this.#byName.get(name);
  }

  /** The same, but for a name whose endpoint is only being made. */
  findMade(name: string): HostedEndpoint | undefined {
    const named = this.#byName.get(name);
    return named === RESERVED ? undefined : named;
  }

  get(id: number): HostedEndpoint | undefined {
    return this.#byId[id];
  }

  /**
   * The endpoint that has the name now, if it runs or is starting; keeps the target's hints right. No Map operation while
   * they are and it runs.
   */
  accepting(target: RefTarget): HostedEndpoint | null {
    const hinted = this.#byId[target.id];
    if (hinted !== undefined && hinted.generation === target.generation && hinted.state === EndpointState.RUNNING) {
      return hinted;
    }
    const named = this.#byName.get(target.name);
    if (named === undefined || named === RESERVED) return null;
    // What is posted to one that is starting waits for it.
    if (named.state !== EndpointState.RUNNING && named.state !== EndpointState.STARTING) return null;
    target.id = named.id;
    target.generation = named.generation;
    target.replicas = named.loops.length;
    return named;
  }

  nameOf(id: number): string {
    return this.#byId[id]?.name ?? this.#reserved.get(id) ?? `endpoint ${id}`;
  }

  /** Holds the name while its endpoint starts. Returns the id it will have. */
  reserve(name: string): number {
    if (this.#byName.has(name)) {
      throw new RpcError("ERR_RPC_ENDPOINT_EXISTS", `there is already an endpoint called "${name}"; stop it first`, {
        endpoint: name,
      });
    }
    const id = this.#freeIds.pop() ?? this.#byId.length;
    if (id > ENDPOINTS_MAX) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `an env holds at most ${ENDPOINTS_MAX} endpoints`);
    }
    if (id === this.#byId.length) this.#byId.push(undefined);
    this.#byName.set(name, RESERVED);
    this.#reserved.set(id, name);
    return id;
  }

  /** Raised with every endpoint, so that a record of an id's former owner can be told. */
  nextGeneration(): number {
    this.#generation = (this.#generation + 1) | 0;
    return this.#generation;
  }

  add(endpoint: HostedEndpoint): void {
    this.#reserved.delete(endpoint.id);
    this.#byId[endpoint.id] = endpoint;
    this.#byName.set(endpoint.name, endpoint);
  }

  /** Frees name and id. */
  remove(endpoint: HostedEndpoint): void {
    this.dropName(endpoint.name);
    this.#byId[endpoint.id] = undefined;
    this.#freeIds.push(endpoint.id);
  }

  /** Frees the name alone: an id whose memory may still be looked at is not given out again. */
  dropName(name: string): void {
    this.#byName.delete(name);
  }

  /** Frees an id whose name was dropped before. */
  dropId(id: number): void {
    this.#reserved.delete(id);
    this.#byId[id] = undefined;
    this.#freeIds.push(id);
  }

  /** Forgets an endpoint; its id stays out of use until `dropId`. */
  forget(endpoint: HostedEndpoint): void {
    this.#reserved.set(endpoint.id, endpoint.name);
    this.#byId[endpoint.id] = undefined;
  }
}
