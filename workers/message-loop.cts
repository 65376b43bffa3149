/**
 * Entry of a message loop's worker thread: piscina requires this file and calls what it exports once, with the loop's
 * one endless task.
 *
 * CommonJS, so that Node loads the engine itself by import(). Were this file an ES module, `require` would load it
 * synchronously, and Node 20 aborts the whole process when a thread is terminated at the wrong moment of that: it goes
 * on to ask a module for its graph that was not instantiated (ModuleWrap::InstantiateSync).
 */
module.exports = import("../src/dispatcher/start-message-loop.js").then((module) => module.startMessageLoop);
