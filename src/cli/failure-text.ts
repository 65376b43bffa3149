/** What a command says when an operation failed: one line with the code, what happened and what to do. */
import type { RpcError, RpcErrorCode } from "../index.js";
import { printable } from "./json-value.js";

/** What helps at a command line, where the error's own text cannot know that it is one. */
const ADVICE: { readonly [code in RpcErrorCode]?: string } = {
  ERR_RPC_CONNECT: "is it running, at this host and port? ringpost serve prints its uri",
  ERR_RPC_ENDPOINT_NOT_FOUND:
    "something else is served there: compare the name with the uri that ringpost serve printed",
  ERR_RPC_AUTH:
    "both sides need the same secret (--secret-file), or certificates of one authority (--tls-…; --tls-server-name where the name does not fit)",
  ERR_RPC_TIMEOUT: "--timeout <s> waits longer",
  ERR_RPC_INSECURE_BIND: "here: --secret-file, or --tls-key, --tls-cert and --tls-ca",
};

export function adviceOf(error: RpcError): string | null {
  if (error.code === "ERR_RPC_CONNECTION_LOST") {
    return error.maybeExecuted ? "it may have been handled: repeat only what may happen twice" : null;
  }
  return ADVICE[error.code] ?? null;
}

/** `ERR_RPC_…: what happened; what to do`, whatever line ends a peer has put into it. */
export function failureText(error: RpcError): string {
  const advice = adviceOf(error);
  const text = `${error.code}: ${error.message}${advice === null ? "" : `; ${advice}`}`;
  return printable(text.replaceAll(/\s*\n\s*/g, " "));
}
