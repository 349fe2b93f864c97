/** A postal address in India as the order service takes it. */
export interface ImportedAddress {
  line1: string;
  line2?: string;
  city: string;
  state: string;
  pincode: string;
  country: 'IN';
}

export interface ImportedLine {
  sku: string;
  name?: string;
  quantity: number;
  unitPricePaise?: number;
  hsnCode?: string;
}

export interface ImportedParcel {
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
}

/** An order as a file tells it, every field checked by itself; the order service decides the rest. */
export interface ImportedOrder {
  channel: 'shopify' | 'file';
  externalId: string;
  customer: { name: string; phone: string; email?: string };
  shippingAddress: ImportedAddress;
  /** Shopify only: kept when it is a complete Indian address and differs from the shipping address. */
  billingAddress?: ImportedAddress;
  lines: ImportedLine[];
  paymentMethod: 'prepaid' | 'cod';
  parcel?: ImportedParcel;
  tags: string[];
  notes?: string;
  /** Our own layout: a coupon to redeem here. */
  couponCode?: string;
  /** Shopify: what the file has already taken off and added. */
  discountPaise?: number;
  shippingPaise?: number;
  discountCodeText?: string;
  /** Shopify: the file's own total; what a courier collects for COD. */
  totalPaise?: number;
  placedAt?: Date;
}

/** Bounds that keep every sum of an order exact: 200 lines × 10,000 pieces × 1 crore rupees < 2^53 paise. */
export const MAX_QUANTITY = 10_000;
export const MAX_UNIT_PRICE_PAISE = 1_000_000_000;

/** The object without its undefined members, so that an absent value is an absent key. */
export function compact<T extends object>(value: T): T {
  const kept: Partial<T> = {};
  for (const key in value) if (value[key] !== undefined) kept[key] = value[key];
  return kept as T;
}
