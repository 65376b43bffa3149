/** How a command ends. */
export const ExitCode = { DONE: 0, FAILED: 1, USAGE: 2, THRESHOLD_MISSED: 3 } as const;

/** The caller asked for something that cannot be: exit code 2, and a pointer to the help. */
export class UsageError extends Error {}

/** The command could not do its work, and the text says all there is to say: exit code 1 without a stack. */
export class CommandFailure extends Error {}
