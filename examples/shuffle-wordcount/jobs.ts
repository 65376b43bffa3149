/** What the processes are told, and what they answer: JSON on their inputs and outputs. */

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface MapJob {
  readonly service: Address;
  readonly appId: string;
  readonly execId: string;
  readonly mapId: number;
  /** Where its files go. */
  readonly localDir: string;
  readonly files: readonly string[];
  readonly reducers: number;
}

export interface Mapped {
  readonly bytes: number;
}

/** A block of the shuffle, and the executor that has made it. */
export interface Block {
  readonly execId: string;
  readonly id: string;
}

export interface ReduceJob {
  readonly service: Address;
  readonly appId: string;
  readonly blocks: readonly Block[];
}

export interface Reduced {
  readonly bytes: number;
  readonly counts: readonly (readonly [word: string, count: number])[];
}
