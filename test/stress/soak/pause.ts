/** A load has a pace of its own: the one sleep of the soak. Nothing is synchronised by it. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
