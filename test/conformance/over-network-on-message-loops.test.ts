/** The conformance suites, for an endpoint in another environment; see the form. */
import { networkOnMessageLoops } from "./form.js";
import { networkSuites } from "./network-suites.js";

networkSuites(networkOnMessageLoops);
