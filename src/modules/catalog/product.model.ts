import { defineCollection } from '../../platform/db/collection.ts';

export const PRODUCT_STATUSES = ['draft', 'active', 'archived'] as const;

/** Only an active product sells; an archived one stays readable, because orders and stock refer to it. */
export type ProductStatus = (typeof PRODUCT_STATUSES)[number];

/** What is sold under a SKU of its own and has everything else from its product. */
export interface Variant {
  sku: string;
  name: string;
  pricePaise?: number;
  weightGrams?: number;
  lengthMm?: number;
  breadthMm?: number;
  heightMm?: number;
}

export interface Product {
  sku: string;
  name: string;
  /** Includes GST. */
  pricePaise: number;
  hsnCode: string;
  taxBp: number;
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
  maxPerOrder: number;
  status: ProductStatus;
  variants?: Variant[];
  /** The product's own SKU and its variants': one flat look-up, unique in the company. */
  skus: string[];
  /** Lower-case words of names and SKUs, for the search by beginnings of words. */
  words: string[];
}

export const MAX_VARIANTS = 100;
export const MAX_WORDS = 200;

const size = { type: Number, required: true, min: 1 };

export const products = defineCollection<Product>({
  name: 'products',
  rowName: 'product',
  fields: {
    sku: { type: String, required: true, maxlength: 100 },
    name: { type: String, required: true, maxlength: 300 },
    pricePaise: { type: Number, required: true, min: 0 },
    hsnCode: { type: String, required: true, match: /^(?:\d{4}|\d{6}|\d{8})$/ },
    taxBp: { type: Number, required: true, min: 0, max: 10_000 },
    weightGrams: size,
    lengthMm: size,
    breadthMm: size,
    heightMm: size,
    maxPerOrder: { type: Number, required: true, min: 1 },
    status: { type: String, required: true, enum: PRODUCT_STATUSES },
    variants: { type: [Object], default: undefined },
    skus: { type: [String], required: true },
    words: { type: [String], required: true },
  },
  bounds: { variants: MAX_VARIANTS, skus: MAX_VARIANTS + 1, words: MAX_WORDS },
  indexes: [
    { keys: { companyId: 1, sku: 1 }, unique: true },
    { keys: { companyId: 1, skus: 1 }, unique: true },
    { keys: { companyId: 1, status: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, words: 1 } },
  ],
});
