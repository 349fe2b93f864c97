import type { Module } from '../../platform/module.ts';
import { productChecks } from './product.checks.ts';
import { productRoutes } from './product.routes.ts';

export type { Product, ProductStatus, Variant } from './product.model.ts';
export type { ProductInput, Sellable } from './product.rules.ts';
export { addProducts } from './product.bulk.service.ts';
export { addProduct, getProduct, sellableBySku, type WantedSkus } from './product.service.ts';

export const catalogModule: Module = { name: 'catalog', routes: productRoutes, checks: productChecks };
