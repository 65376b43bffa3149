/** What is run for each form with a connection between test and endpoint. */
import { eventsAndConfSuite } from "./events-and-conf.contract.js";
import { filesSuite } from "./files.contract.js";
import type { NetworkForm } from "./form.js";
import { gapsSuite } from "./gaps.contract.js";
import { inboxSuite } from "./inbox.contract.js";
import { remoteSuite } from "./remote.contract.js";
import { remoteGapsSuite } from "./remote-gaps.contract.js";
import { rpcEnvSuite } from "./rpc-env.contract.js";
import { secureSuite } from "./secure.contract.js";

export function networkSuites(form: NetworkForm): void {
  rpcEnvSuite(form);
  inboxSuite(form);
  eventsAndConfSuite(form);
  gapsSuite(form);
  remoteSuite(form);
  remoteGapsSuite(form);
  filesSuite(form);
  if (form.name.startsWith("by ")) secureSuite(form);
}
