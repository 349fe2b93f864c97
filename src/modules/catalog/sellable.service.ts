import { gathered } from '../../platform/batch.ts';
import { monotonicMs } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx } from '../../platform/context.ts';
import type { Filter } from '../../platform/db/collection.ts';
import { makeWatch } from '../../platform/db/watch.ts';
import { makeVersionedCache, type Loaded } from '../../platform/versioned-cache.ts';
import { products, type Product } from './product.model.ts';
import { sellablesOf, type Sellable } from './product.rules.ts';

/** SKUs that are asked for, by company. */
export interface WantedSkus {
  companyId: string;
  skus: readonly string[];
}

interface OneSku {
  companyId: string;
  sku: string;
}

const SELLABLE_FIELDS = [
  'companyId', 'sku', 'name', 'pricePaise', 'hsnCode', 'taxBp', 'weightGrams', 'lengthMm', 'breadthMm', 'heightMm', 'maxPerOrder', 'status', 'variants', 'version',
] as const;
const MAX_SKUS = 50_000;
const SKUS_PER_READ = 2_000;

const watch = makeWatch({
  collections: [products.name],
  onChange: (change) => sellables.heard(change, {}),
  onGap: () => sellables.clear(),
});

/** By `companyId|sku`. What is not in the catalogue is not kept: it may be added at any moment, by any process. */
const sellables = makeVersionedCache<string, Sellable | undefined>({
  max: MAX_SKUS,
  load: (key) => readOne(skuOf(key)),
  now: monotonicMs,
  usableForMs: () => (watch.live() ? Infinity : -1),
  keep: (sellable) => sellable !== undefined,
});

const readOne = gathered<OneSku, Loaded<Sellable | undefined>>(SKUS_PER_READ, async (wanted) => {
  const byCompany = new Map<string, string[]>();
  for (const { companyId, sku } of wanted) {
    const skus = byCompany.get(companyId);
    if (skus) skus.push(sku);
    else byCompany.set(companyId, [sku]);
  }
  const branches = [...byCompany].map(([companyId, skus]): Filter<Product> => ({ companyId, skus: { $in: skus } }));
  const ctx = acrossCompanies(systemCtx('catalogue cache', PLATFORM_COMPANY_ID), 'one read for SKUs of many companies');
  const found = new Map<string, Loaded<Sellable>>();
  for (const row of await products.find(ctx, { $or: branches }, { fields: SELLABLE_FIELDS })) {
    const versions = new Map([[row._id, row.version]]);
    for (const value of sellablesOf(row)) found.set(keyOf({ companyId: row.companyId, sku: value.sku }), { value, versions });
  }
  return wanted.map((sku) => found.get(keyOf(sku)) ?? { value: undefined, versions: new Map() });
});

function keyOf({ companyId, sku }: OneSku): string {
  return `${companyId}|${sku}`;
}

function skuOf(key: string): OneSku {
  const border = key.indexOf('|');
  return { companyId: key.slice(0, border), sku: key.slice(border + 1) };
}

/**
 * What the catalogue says of the wanted SKUs, by `companyId|sku`; unknown ones are missing, drafts and archived ones are
 * there with their status, other companies' only for a ctx of `acrossCompanies`. From memory while changes are heard, so it
 * costs no command as a rule.
 */
export async function sellableBySku(ctx: Ctx, wanted: readonly WantedSkus[]): Promise<Map<string, Sellable>> {
  const found = new Map<string, Sellable>();
  const unknown = new Set<string>();
  for (const { companyId, skus } of wanted) {
    if (companyId !== ctx.companyId && ctx.across === undefined) continue;
    for (const sku of skus) {
      const key = keyOf({ companyId, sku });
      const known = sellables.peek(key);
      if (known) found.set(key, known);
      else unknown.add(key);
    }
  }
  await Promise.all(
    [...unknown].map(async (key) => {
      const sellable = await sellables.get(key);
      if (sellable) found.set(key, sellable);
    }),
  );
  return found;
}

/**
 * Keeps the catalogue in memory right until the returned function is called: changes of this process are heard before
 * their command answers, those of others within milliseconds. Without it, or while the database cannot be listened to,
 * every look reads.
 */
export const watchCatalogue = watch.start;
