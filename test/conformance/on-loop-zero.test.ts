/** The conformance suites, for an endpoint that is an instance on the main thread. */

import { addressesSuite } from "./addresses.contract.js";
import { eventsAndConfSuite } from "./events-and-conf.contract.js";
import { onLoopZero } from "./form.js";
import { gapsSuite } from "./gaps.contract.js";
import { inboxSuite } from "./inbox.contract.js";
import { rpcEnvSuite } from "./rpc-env.contract.js";

rpcEnvSuite(onLoopZero);
inboxSuite(onLoopZero);
eventsAndConfSuite(onLoopZero);
addressesSuite(onLoopZero);
gapsSuite(onLoopZero);
