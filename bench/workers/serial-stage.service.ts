/** A stage on one loop, one value after the other. */
import { defineStatefulService } from "ringpost";
import { createStage } from "./stages.js";

export default defineStatefulService(createStage, { serial: true });
