/** What the type tests in this folder say. They run when `tsc -p tsconfig.json` accepts them, and at no other time. */

/** True for exactly the same type, any and readonly told apart. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

export declare function expectTrue<Condition extends true>(): Condition;
