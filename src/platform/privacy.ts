import type { Ctx, OutsideTx } from './context.ts';

/** A customer of a company, as he is found through blind indexes: by phone (E.164), by e-mail, or by either. */
export interface CustomerKeys {
  phone?: string;
  email?: string;
}

/**
 * What a module holds of its companies' customers. Erasing is done in steps that may be repeated: what is erased is not
 * found again, so a job that was cut off goes on where it was.
 */
export interface CustomerData {
  /** The kind of rows, as the export names them. */
  name: string;
  /** Rows of the ctx's company that hold the customer. */
  rows?(ctx: Ctx, customer: CustomerKeys): AsyncIterable<object>;
  /** What must end before the customer can be erased (numbers of open orders). */
  open?(ctx: Ctx, customer: CustomerKeys): Promise<string[]>;
  /** Puts markers in the place of some rows' personal data; answers how many, 0 when none is left. */
  erase(ctx: OutsideTx, customer: CustomerKeys): Promise<number>;
}

let registered: readonly CustomerData[] = [];

/** Says who holds customers' data, in the order of erasure; called once at start, because modules do not know each other's. */
export function registerCustomerData(all: readonly CustomerData[]): void {
  registered = all;
}

/** Everybody who holds customers' data, in the order of erasure. */
export function customerData(): readonly CustomerData[] {
  return registered;
}

/** What stands in the place of erased personal data. */
export const ERASED = '[erased]';

/** Undefined for a marker, so that no blind index is kept of it. */
export function unlessErased(value: string | undefined): string | undefined {
  return value === ERASED ? undefined : value;
}
