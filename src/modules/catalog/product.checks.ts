import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { products } from './product.model.ts';
import { withLookup } from './product.rules.ts';

/** Every product is found under its own SKU and all of its variants', and under no other. */
const skusMatch: Check = {
  name: 'product SKUs = own SKU and variants',
  async run() {
    const ctx = acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');
    const wrong: string[] = [];
    for await (const row of products.each(ctx, {})) {
      const { skus } = withLookup(row);
      if (skus.length !== row.skus.length || skus.some((sku) => !row.skus.includes(sku))) wrong.push(`Product ${row._id} is listed under other SKUs than it has`);
    }
    return wrong;
  },
};

export const productChecks = [skusMatch];
