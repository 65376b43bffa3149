/** What every reference has: two copies of this package in one process still recognise each other's references by it. */
export const REF_BRAND: unique symbol = Symbol.for("ringpost.RpcEndpointRef");
