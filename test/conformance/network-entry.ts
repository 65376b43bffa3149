/** What an entry of the lists of Spark's network tests is made of. */

export type NetworkEntryStatus =
  | { readonly kind: "applies"; readonly note?: string }
  | { readonly kind: "not applicable"; readonly why: string };

export interface NetworkEntry {
  /** The tag, without brackets. */
  readonly id: string;
  readonly suite: string;
  readonly checks: string;
  readonly status: NetworkEntryStatus;
}

export type Row = readonly [test: string, checks: string, status: NetworkEntryStatus];

export const APPLIES: NetworkEntryStatus = { kind: "applies" };

export const but = (note: string): NetworkEntryStatus => ({ kind: "applies", note });
export const notApplicable = (why: string): NetworkEntryStatus => ({ kind: "not applicable", why });

export function suite(name: string, rows: readonly Row[]): NetworkEntry[] {
  return rows.map(([test, checks, status]) => ({ id: `net ${name}.${test}`, suite: name, checks, status }));
}
