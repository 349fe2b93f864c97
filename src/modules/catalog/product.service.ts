import type { Ctx, OutsideTx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, stale } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { products, type Product, type ProductStatus } from './product.model.ts';
import { normalizeChange, normalizeProduct, searchWords, withLookup, type ProductChange, type ProductInput } from './product.rules.ts';

/** Search and filters of the product list. */
export interface ProductQuery extends PageRequest {
  status?: ProductStatus | undefined;
  sku?: string | undefined;
  q?: string | undefined;
}

/** Adds a product; 409 `product_exists` when one of its SKUs is taken, also by a variant or an archived product. */
export async function addProduct(ctx: OutsideTx, input: ProductInput): Promise<Row<Product>> {
  const product = normalizeProduct(input);
  return withTransaction(ctx, async (ctx) => products.insert(ctx, product));
}

/**
 * Changes a product under the version the caller saw; publishing and taking off sale are changes of its status. 409
 * `sku_kept` when a variant would lose its SKU, because stock and orders refer to it.
 */
export async function changeProduct(ctx: OutsideTx, id: string, change: ProductChange, version: number): Promise<Row<Product>> {
  return withTransaction(ctx, async (ctx) => {
    const row = await products.get(ctx, id);
    const normalized = normalizeChange(change, row.sku);
    if (row.version !== version) throw stale('product', row.version);
    const { skus, words } = withLookup({ ...row, ...normalized });
    const dropped = row.skus.filter((sku) => !skus.includes(sku));
    if (dropped.length > 0) throw conflict('sku_kept', 'A SKU stays with its product, because stock and orders refer to it', { skus: dropped });
    return products.update(ctx, id, { $set: { ...normalized, skus, words } }, { version });
  });
}

/** Takes a product off sale for good; it stays readable, because orders and stock refer to it. */
export async function archiveProduct(ctx: OutsideTx, id: string, version: number): Promise<Row<Product>> {
  return withTransaction(ctx, async (ctx) => products.update(ctx, id, { $set: { status: 'archived' } }, { version }));
}

/** One product, whatever its status. */
export async function getProduct(ctx: Ctx, id: string): Promise<Row<Product>> {
  return products.get(ctx, id);
}

/** One page of products, newest first; `q` finds those that have a word beginning with each of its words. */
export async function listProducts(ctx: Ctx, { status, sku, q, ...page }: ProductQuery): Promise<Page<Row<Product>>> {
  const filter: Filter<Product> = {
    ...(status === undefined ? {} : { status }),
    ...(sku === undefined ? {} : { skus: sku }),
    ...(q === undefined ? {} : { $and: searchWords(q).slice(0, 10).map((word) => ({ words: { $regex: new RegExp(`^${word}`) } })) }),
  };
  if (filter.$and?.length === 0) delete filter.$and;
  return products.list(ctx, filter, page);
}
