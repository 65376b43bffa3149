/** A stage with a thread of its own, many values at a time. */
import { defineStatefulService } from "ringpost";
import { createStage } from "./stages.js";

export default defineStatefulService(createStage, { threadCount: 1 });
