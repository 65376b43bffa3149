/** Builds the drivers of test/spark, for each line of Spark. Says in one line what is missing and ends with 1. */
import { join } from "node:path";
import { buildDrivers } from "./drivers.js";
import { SPARK_LINES } from "./spark-lines.js";

const project = join("test", "spark");
for (const line of SPARK_LINES) {
  const profile = `spark${line.replace(".", "")}`;
  const why = buildDrivers({ project, profile, folder: `spark-${line}`, sources: [join(project, "src")] });
  if (why === null) continue;
  console.error(`test:spark needs Java 17 and Maven: ${why}`);
  process.exitCode = 1;
  break;
}
