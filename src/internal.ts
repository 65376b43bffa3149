/** What our own tests and benches use beyond the public surface. Not exported by the package. */
export { postNetworkEvent } from "./env/rpc-env.js";
