/** A party as it is printed. `lines` are the street lines in order; empty ones are skipped. */
export interface PaperAddress {
  name: string;
  phone?: string;
  lines: string[];
  city: string;
  state: string;
  pincode: string;
}

/** What the courier collects at the door: nothing, or exactly `codPaise`. */
export type PaperPayment = { mode: 'prepaid' } | { mode: 'cod'; codPaise: number };

export interface LabelItem {
  name: string;
  sku?: string;
  quantity: number;
}

/** Everything that one shipping label shows; nothing else is read while drawing. */
export interface LabelView {
  awb: string;
  courier: string;
  service: string;
  sortCode?: string;
  payment: PaperPayment;
  consignee: PaperAddress;
  orderNumber: string;
  bookedAt: Date;
  weightGrams: number;
  sizeMm?: { lengthMm: number; widthMm: number; heightMm: number };
  valuePaise?: number;
  items: LabelItem[];
  seller: { name: string; gstin?: string };
  invoice?: { number: string; issuedAt?: Date };
  returnAddress: PaperAddress;
}

export interface ManifestRow {
  awb: string;
  orderNumber: string;
  consigneeName: string;
  city: string;
  pincode: string;
  payment: PaperPayment;
  weightGrams: number;
  ewayBillNumber?: string;
}

/** The hand-over list of one courier at one pickup address; rows are printed in the given order. */
export interface ManifestView {
  number: string;
  courier: string;
  seller: { name: string; gstin?: string };
  pickup: PaperAddress;
  createdAt: Date;
  rows: ManifestRow[];
}

/** `thermal`: one 4×6 inch page per label. `a4`: four labels on each A4 sheet, with cutting lines. */
export type LabelLayout = 'thermal' | 'a4';
