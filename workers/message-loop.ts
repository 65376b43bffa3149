/** Entry of a message loop's worker thread: piscina calls the default export once, with the loop's one endless task. */
export { startMessageLoop as default } from "../src/dispatcher/start-message-loop.js";
