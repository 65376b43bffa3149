/** What the stages say to one another. A reference inside a message says to whom the result goes. */
import type { RpcAsk, RpcEndpointRef, RpcMessages } from "ringpost";

export type Count = { readonly words: readonly string[] };
export type Top = RpcAsk<{ op: "top"; count: number }, [word: string, times: number][]>;
export type TallyMessages = RpcMessages<Top, unknown, Count>;

export type Parse = RpcAsk<{ text: string; tally: RpcEndpointRef<TallyMessages> }, number>;
