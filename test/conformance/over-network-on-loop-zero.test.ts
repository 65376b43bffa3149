/** The conformance suites, for an endpoint in another environment; see the form. */
import { networkOnLoopZero } from "./form.js";
import { networkSuites } from "./network-suites.js";

networkSuites(networkOnLoopZero);
