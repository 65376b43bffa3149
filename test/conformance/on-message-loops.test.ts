/** The conformance suites, for an endpoint whose module runs on message loops. */
import { onMessageLoops } from "./form.js";
import { gapsSuite } from "./gaps.contract.js";
import { inboxSuite } from "./inbox.contract.js";
import { rpcEnvSuite } from "./rpc-env.contract.js";

rpcEnvSuite(onMessageLoops);
inboxSuite(onMessageLoops);
gapsSuite(onMessageLoops);
