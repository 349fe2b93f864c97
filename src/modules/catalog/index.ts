import type { Module } from '../../platform/module.ts';
import { productChecks } from './product.checks.ts';
import { productRoutes } from './product.routes.ts';
import { watchCatalogue } from './sellable.service.ts';

export type { Product, ProductStatus, Variant } from './product.model.ts';
export type { ProductInput, Sellable } from './product.rules.ts';
export { addProducts } from './product.bulk.service.ts';
export { addProduct, getProduct } from './product.service.ts';
export { sellableBySku, type WantedSkus } from './sellable.service.ts';

export const catalogModule: Module = { name: 'catalog', routes: productRoutes, checks: productChecks, start: watchCatalogue };
