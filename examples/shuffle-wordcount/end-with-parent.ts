/** Loaded before the shuffle service, which reads no input: this process ends with the one that started it. */
process.stdin
  .on("end", () => process.exit(1))
  .resume()
  .unref();
