import type { OutsideTx, Tx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { addProducts, type ProductInput } from '../catalog/index.ts';
import { normalizeOrder, placeBatch, type OrderRequest } from '../orders/index.ts';
import { lookupPincode, pincodeTable, storePincodes } from '../pincodes/index.ts';
import { storeServiceability } from '../rates/index.ts';
import { refusalFault, type Candidate } from './import.rules.ts';
import type { Import } from './import.model.ts';
import type { RowFault } from './grouping.rules.ts';
import type { ImportedOrder } from './order.rules.ts';
import { isRowFault, readOrders, type ParsedOrder } from './orders.rules.ts';
import type { ByteSource } from './reader.ts';
import { readPincodes, readProducts, readServiceabilityRows, type ImportedPincode, type ImportedProduct, type ImportedServiceability, type ParsedRow } from './tables.rules.ts';

/** A record that was refused when it was about to be stored, by its place among those that were handed over. */
export interface Refused {
  index: number;
  error: AppError;
}

/** Writes into the transaction that stores a batch: told which records are not in it. */
export type Checkpoint = (tx: Tx, refused: readonly Refused[]) => Promise<void>;

/** What the engine needs of a kind of file: how to read it and how to store a batch in one transaction. */
export interface Sink<T = unknown> {
  read(source: ByteSource, fileName: string): AsyncGenerator<Candidate<T> | RowFault>;
  store(ctx: OutsideTx, values: readonly T[], checkpoint: Checkpoint): Promise<void>;
}

/** Whose table a serviceability file is when it names no courier: the one that every installation has. */
const DEFAULT_COURIER = 'sandbox';

/** The sink of an import's kind; undefined for kinds that cannot be imported yet. */
export async function openSink(row: Import & { _id: string }): Promise<Sink | undefined> {
  if (row.kind === 'orders') return (await orderSink(row._id)) as Sink;
  if (row.kind === 'products') return productSink as Sink;
  if (row.kind === 'serviceability') return serviceabilitySink(row.courier ?? DEFAULT_COURIER) as Sink;
  if (row.kind === 'pincodes') return pincodeSink as Sink;
  return undefined;
}

async function orderSink(importId: string): Promise<Sink<OrderRequest>> {
  const table = await pincodeTable();
  const knownPincode = (pincode: string): { state: string } | undefined => lookupPincode(table, pincode);
  const isKnown = (pincode: string): boolean => knownPincode(pincode) !== undefined;
  const { maxLineQuantity } = runtime().config;
  return {
    async *read(source, fileName) {
      for await (const parsed of readOrders(source, { fileName, knownPincode })) {
        yield isRowFault(parsed) ? parsed : toRequest(parsed, importId, isKnown, maxLineQuantity);
      }
    },
    async store(ctx, values, checkpoint) {
      await placeBatch(values.map((request) => ({ ctx, request })), { alongside: (tx, _placed, refused) => checkpoint(tx, refused) });
    },
  };
}

function toRequest(parsed: ParsedOrder, importId: string, isKnown: (pincode: string) => boolean, maxLineQuantity: number): Candidate<OrderRequest> | RowFault {
  const { line, record, rows, order } = parsed;
  const at = { line, record, rows };
  if (order.lines.some(({ quantity }) => quantity > maxLineQuantity)) {
    return { ...at, faults: [{ field: 'quantity', message: `must be ${maxLineQuantity} at most` }] };
  }
  try {
    return { ...at, value: { ...normalizeOrder(orderInput(order), isKnown), imported: importedFacts(order, importId) } };
  } catch (error) {
    if (error instanceof AppError) return refusalFault(at, error);
    throw error;
  }
}

function orderInput(order: ImportedOrder): Parameters<typeof normalizeOrder>[0] {
  const { totalPaise: _checked, discountPaise: _discount, shippingPaise: _shipping, discountCodeText: _code, placedAt: _placedAt, ...input } = order;
  return input;
}

function importedFacts({ discountPaise, shippingPaise, discountCodeText, placedAt }: ImportedOrder, importId: string): NonNullable<OrderRequest['imported']> {
  return {
    importId,
    ...(discountPaise === undefined ? {} : { discountPaise }),
    ...(shippingPaise === undefined ? {} : { shippingPaise }),
    ...(discountCodeText === undefined ? {} : { discountCodeText }),
    ...(placedAt === undefined ? {} : { placedAt }),
  };
}

const productSink: Sink<ProductInput> = {
  async *read(source, fileName) {
    for await (const parsed of readProducts(source, { fileName })) yield isRowFault(parsed) ? parsed : toProduct(parsed);
  },
  store: addProducts,
};

const NEEDED = ['hsnCode', 'taxBp', 'weightGrams', 'lengthMm', 'breadthMm', 'heightMm'] as const;

function toProduct({ line, record, value }: ParsedRow<ImportedProduct>): Candidate<ProductInput> | RowFault {
  const missing = NEEDED.filter((field) => value[field] === undefined);
  if (missing.length > 0) return { line, record, rows: 1, faults: missing.map((field) => ({ field, message: 'is required' })) };
  return { line, record, rows: 1, value: value as ProductInput };
}

/** A pincode that a courier lists already gets the row of the file. */
function serviceabilitySink(courier: string): Sink<ImportedServiceability> {
  return {
    async *read(source, fileName) {
      for await (const parsed of readServiceabilityRows(source, { fileName })) yield isRowFault(parsed) ? parsed : { ...parsed, rows: 1 };
    },
    async store(ctx, values, checkpoint) {
      await withTransaction(ctx, async (ctx) => {
        await storeServiceability(ctx, courier, values);
        await checkpoint(ctx, []);
      });
    },
  };
}

/** A pincode that is known already gets the state and districts of the file. */
const pincodeSink: Sink<ImportedPincode> = {
  async *read(source, fileName) {
    for await (const parsed of readPincodes(source, { fileName })) yield isRowFault(parsed) ? parsed : { ...parsed, rows: 1 };
  },
  async store(ctx, values, checkpoint) {
    await withTransaction(ctx, async (ctx) => {
      await storePincodes(ctx, values);
      await checkpoint(ctx, []);
    });
  },
};
