import type { NetworkForm } from "./form.js";
export function remoteSuite(_form: NetworkForm): void {}
