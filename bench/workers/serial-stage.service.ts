/** A stage on a loop of its own choice, one value at a time. */
import { defineStatefulService } from "ringpost";
import { createStage } from "./stages.js";

export default defineStatefulService(createStage, { serial: true });
