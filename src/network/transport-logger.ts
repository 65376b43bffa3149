/** Where the transport says what nobody else is told. The shape of the usual loggers. */
export interface TransportLogger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** Says nothing. */
export const SILENT: TransportLogger = { debug() {}, info() {}, warn() {}, error() {} };
