/** Errors of the operating system, as Node.js tells them. */

const CODE = /^E[A-Z0-9]+$/;

/** @param code Only this one, for instance ENOENT. */
export function isSystemError(error: unknown, code?: string): boolean {
  if (!(error instanceof Error)) return false;
  const { code: own, syscall } = error as NodeJS.ErrnoException;
  if (typeof own !== "string" || typeof syscall !== "string" || !CODE.test(own)) return false;
  return code === undefined || own === code;
}
