import type { OutsideTx, Tx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { products, type Product } from './product.model.ts';
import { normalizeProduct, type ProductInput } from './product.rules.ts';

/** A product that was not stored, by its place in the batch. */
export interface RefusedProduct {
  index: number;
  error: AppError;
}

/**
 * Adds a batch of products in one transaction; each that breaks a rule (400) or whose SKU is taken (`product_exists`) is
 * refused for itself. `alongside` writes into the same transaction. Throws `product_exists` for the whole batch when
 * another writer was quicker: read again.
 */
export async function addProducts(
  ctx: OutsideTx,
  inputs: readonly ProductInput[],
  alongside: (tx: Tx, refused: readonly RefusedProduct[]) => Promise<void>,
): Promise<void> {
  const refused: RefusedProduct[] = [];
  const wanted: { index: number; product: Product }[] = [];
  inputs.forEach((input, index) => {
    try {
      wanted.push({ index, product: normalizeProduct(input) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      refused.push({ index, error });
    }
  });
  const taken = new Set((await products.find(ctx, { skus: { $in: wanted.flatMap(({ product }) => product.skus) } }, { fields: ['skus'] })).flatMap((row) => row.skus));
  const fresh: Product[] = [];
  for (const { index, product } of wanted) {
    if (product.skus.some((sku) => taken.has(sku))) refused.push({ index, error: conflict('product_exists', 'Another product has this SKU', { fields: ['sku'] }) });
    else fresh.push(product);
    for (const sku of product.skus) taken.add(sku);
  }
  await withTransaction(ctx, async (ctx) => {
    await products.insertMany(ctx, fresh.map((doc) => ({ tx: ctx, doc })));
    await alongside(ctx, refused);
  });
}
