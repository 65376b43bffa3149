/** The lines of Spark that are peers here; a Maven profile each. */
export const SPARK_LINES = ["4.0", "3.5"] as const;

export type SparkLine = (typeof SPARK_LINES)[number];
