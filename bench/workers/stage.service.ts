/** A stage that any loop serves, many values at a time. */
import { defineStatefulService } from "ringpost";
import { createStage } from "./stages.js";

export default defineStatefulService(createStage);
