import { makeFaults, type Faults } from '../../platform/faults.ts';
import { parseHsn } from '../../platform/identifiers.ts';
import { MAX_WORDS, type Product, type ProductStatus, type Variant } from './product.model.ts';

/** A product as its merchant writes it. */
export type ProductInput = Omit<Product, 'status' | 'skus' | 'words' | 'maxPerOrder'> & { maxPerOrder?: number; status?: ProductStatus };

/** What may change of a product; its own SKU stays. */
export type ProductChange = Partial<Omit<ProductInput, 'sku'>>;

/** What the catalogue says of one SKU, variant or not. Weights in grams, lengths in mm, the price includes GST. */
export interface Sellable {
  sku: string;
  name: string;
  pricePaise: number;
  hsnCode: string;
  taxBp: number;
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
  maxPerOrder: number;
  status: ProductStatus;
  productId: string;
}

const DEFAULT_MAX_PER_ORDER = 10;

/** A new product as it is stored: texts trimmed, HSN without separators; 400 naming every faulty field. */
export function normalizeProduct(input: ProductInput): Product {
  const faults = makeFaults();
  const sku = readText('sku', input.sku, faults);
  const parts = readParts(input, sku, faults);
  faults.throwIfAny();
  return withLookup({ maxPerOrder: DEFAULT_MAX_PER_ORDER, status: 'active', ...input, sku, ...parts });
}

/** A change of a product, normalised like a new one; the look-up fields are made by `withLookup` from the whole. */
export function normalizeChange(input: ProductChange, ownSku: string): ProductChange {
  const faults = makeFaults();
  const parts = readParts(input, ownSku, faults);
  faults.throwIfAny();
  return { ...input, ...parts };
}

function readText(path: string, value: string, faults: Faults): string {
  const trimmed = value.trim();
  if (trimmed === '') faults.add(path, 'must not be empty');
  return trimmed;
}

function readParts(input: ProductChange, ownSku: string, faults: Faults): Pick<ProductChange, 'name' | 'hsnCode' | 'variants'> {
  return {
    ...(input.name === undefined ? {} : { name: readText('name', input.name, faults) }),
    ...(input.hsnCode === undefined ? {} : { hsnCode: faults.take('hsnCode', parseHsn(input.hsnCode)) }),
    ...(input.variants === undefined ? {} : { variants: readVariants(input.variants, ownSku, faults) }),
  };
}

function readVariants(given: readonly Variant[], ownSku: string, faults: Faults): Variant[] {
  const seen = new Set([ownSku]);
  return given.map((variant, i) => {
    const sku = readText(`variants.${i}.sku`, variant.sku, faults);
    if (seen.has(sku)) faults.add(`variants.${i}.sku`, 'is used twice in this product');
    seen.add(sku);
    return { ...variant, sku, name: readText(`variants.${i}.name`, variant.name, faults) };
  });
}

/** The product with its look-up fields made anew. */
export function withLookup(product: Omit<Product, 'skus' | 'words'>): Product {
  const variants = product.variants ?? [];
  const words = new Set([product, ...variants].flatMap(({ sku, name }) => searchWords(`${name} ${sku}`)));
  return { ...product, skus: [...new Set([product.sku, ...variants.map((v) => v.sku)])], words: [...words].slice(0, MAX_WORDS) };
}

/** Lower-case words of a text, in every script. */
export function searchWords(text: string): string[] {
  return text.normalize('NFKC').toLowerCase().split(/[^\p{L}\p{M}\p{N}]+/u).filter(Boolean);
}

/** The SKUs of a product row as what is sold: a variant has its own values and, for the rest, its product's. */
export function sellablesOf(row: Omit<Product, 'words' | 'skus'> & { _id: string }): Sellable[] {
  const { sku, name, pricePaise, hsnCode, taxBp, weightGrams, lengthMm, breadthMm, heightMm, maxPerOrder, status, _id: productId } = row;
  const own: Sellable = { sku, name, pricePaise, hsnCode, taxBp, weightGrams, lengthMm, breadthMm, heightMm, maxPerOrder, status, productId };
  return [own, ...(row.variants ?? []).map((variant) => ({ ...own, ...definedOf(variant) }))];
}

function definedOf(variant: Variant): Partial<Sellable> {
  return Object.fromEntries(Object.entries(variant).filter(([, value]) => value !== undefined && value !== null));
}
