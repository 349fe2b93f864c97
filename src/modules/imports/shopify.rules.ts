import type { Cell, ShopifyColumn } from './columns.rules.ts';
import {
  TEXT_LIMITS,
  faultList,
  oneLine,
  parsePincode,
  readEmail,
  readPhone,
  readPlace,
  readRupees,
  readTags,
  readText,
  readWhole,
} from './fields.rules.ts';
import type { FaultList, FieldFault, KnownPincode } from './fields.rules.ts';
import type { GroupRow, RowGroup } from './grouping.rules.ts';
import { MAX_QUANTITY, MAX_UNIT_PRICE_PAISE, compact } from './order.rules.ts';
import type { ImportedAddress, ImportedLine, ImportedOrder } from './order.rules.ts';
import { stateName } from './states.rules.ts';

type ShopifyCell = Cell<ShopifyColumn>;

const REFUSED_STATUS: Readonly<Record<string, string>> = {
  refunded: 'the order was refunded',
  partially_refunded: 'the order was partly refunded',
  voided: 'the payment was voided',
  expired: 'the payment expired',
  authorized: 'the payment is authorised but not captured',
  partially_paid: 'the order is only partly paid',
};

/** Cancelled and refunded orders are refused with that reason; paid is prepaid; pending is COD when the method says so. */
function readPayment(faults: FaultList, cell: ShopifyCell): 'prepaid' | 'cod' {
  if (cell('Cancelled at') !== '') faults.add('Cancelled at', 'the order was cancelled');
  const status = cell('Financial Status').toLowerCase().replace(/\s+/g, '_');
  const refused = REFUSED_STATUS[status];
  if (refused !== undefined) faults.add('Financial Status', refused);
  else if ((readRupees(faults, 'Refunded Amount', cell('Refunded Amount')) ?? 0) > 0) {
    faults.add('Refunded Amount', 'the order was refunded, at least in part');
  }
  if (status === 'pending' || status === 'unpaid') {
    if (/cash on delivery|\bcod\b/i.test(cell('Payment Method'))) return 'cod';
    faults.add('Payment Method', 'the order is not paid and not cash on delivery');
  } else if (status !== 'paid' && refused === undefined) {
    faults.add('Financial Status', status === '' ? 'is required' : 'is not a payment status of Shopify');
  }
  return 'prepaid';
}

/** A SKU for an item that has none: its name in lower case with hyphens ("Silk Saree, Red" is `silk-saree-red`). */
export function skuFromName(name: string): string {
  return name
    .toLowerCase()
    .normalize('NFC')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, TEXT_LIMITS.sku)
    .replace(/-+$/, '');
}

function readLine(faults: FaultList, cell: ShopifyCell): ImportedLine {
  const title = oneLine(cell('Lineitem name'));
  const name = readText(faults, 'Lineitem name', title, { max: TEXT_LIMITS.itemName, required: true }) ?? '';
  const unitPricePaise = readRupees(faults, 'Lineitem price', cell('Lineitem price'), true) ?? 0;
  if (unitPricePaise > MAX_UNIT_PRICE_PAISE) faults.add('Lineitem price', 'must be at most 1 crore rupees');
  const given = oneLine(cell('Lineitem sku')).replace(/^'/, '');
  const sku = readText(faults, 'Lineitem sku', given, { max: TEXT_LIMITS.sku }) ?? skuFromName(name);
  const whole = { min: 1, max: MAX_QUANTITY, required: true };
  if (sku === '' && name !== '') faults.add('Lineitem sku', 'is required: the name gives none');
  return {
    sku,
    name,
    quantity: readWhole(faults, 'Lineitem quantity', cell('Lineitem quantity'), whole) ?? 0,
    unitPricePaise,
  };
}

/** Address1 and Address2, else Street; a company stands before the first line. */
function streetOf(cell: ShopifyCell, side: 'Shipping' | 'Billing'): { line1: string; line2: string } {
  const first = oneLine(cell(`${side} Address1`) || cell(`${side} Street`), ', ');
  const company = oneLine(cell(`${side} Company`));
  return {
    line1: company === '' ? first : `${company}, ${first}`,
    line2: cell(`${side} Address1`) === '' ? '' : oneLine(cell(`${side} Address2`), ', '),
  };
}

function isIndia(country: string): boolean {
  return country === '' || /^(?:in|india)$/i.test(country);
}

function readShipping(faults: FaultList, cell: ShopifyCell, known: KnownPincode): ImportedAddress {
  if (!isIndia(cell('Shipping Country'))) faults.add('Shipping Country', 'must be IN');
  const { line1, line2 } = streetOf(cell, 'Shipping');
  const state = cell('Shipping Province') || cell('Shipping Province Name');
  const place = readPlace(
    faults,
    { pincode: 'Shipping Zip', state: 'Shipping Province' },
    { pincode: cell('Shipping Zip'), state: stateName(state) ?? (cell('Shipping Province Name') || state) },
    known,
  );
  return compact({
    line1: readText(faults, 'Shipping Address1', line1, { max: TEXT_LIMITS.addressLine, required: true }) ?? '',
    line2: readText(faults, 'Shipping Address2', line2, { max: TEXT_LIMITS.addressLine }),
    city: readText(faults, 'Shipping City', oneLine(cell('Shipping City')), { max: TEXT_LIMITS.city, required: true }) ?? '',
    state: place?.state ?? '',
    pincode: place?.pincode ?? '',
    country: 'IN' as const,
  });
}

/** The billing address when it is a complete Indian one and not the shipping address; it never refuses an order. */
function billingOf(cell: ShopifyCell, shipping: ImportedAddress): ImportedAddress | undefined {
  const { line1, line2 } = streetOf(cell, 'Billing');
  const pincode = parsePincode(cell('Billing Zip'));
  const city = oneLine(cell('Billing City'));
  const state = stateName(cell('Billing Province')) ?? stateName(cell('Billing Province Name'));
  if (line1 === '' || city === '' || pincode === undefined || state === undefined) return undefined;
  if (!isIndia(cell('Billing Country'))) return undefined;
  if (Math.max(line1.length, line2.length) > TEXT_LIMITS.addressLine || city.length > TEXT_LIMITS.city) return undefined;
  const billing = compact({ line1, line2: line2 || undefined, city, state, pincode, country: 'IN' as const });
  const keys = ['line1', 'line2', 'city', 'state', 'pincode'] as const;
  return keys.every((key) => billing[key] === shipping[key]) ? undefined : billing;
}

/**
 * The money of a Shopify order, all prices with their tax included. Its Subtotal is the sum of quantity × price after all
 * discounts, and Total = Subtotal + Shipping; `Discount Amount` is what the whole order got off, to which some exports add
 * `Lineitem discount`. A file whose figures do not add up is refused rather than believed in part.
 */
function readTotals(
  faults: FaultList,
  cell: ShopifyCell,
  group: RowGroup<ShopifyColumn>,
  lines: ImportedLine[],
): { discountPaise: number; shippingPaise: number; totalPaise: number } {
  const before = faults.all.length;
  const currency = cell('Currency').toUpperCase();
  if (currency !== 'INR') faults.add('Currency', 'must be INR');
  const subtotal = readRupees(faults, 'Subtotal', cell('Subtotal'), true) ?? 0;
  const shippingPaise = readRupees(faults, 'Shipping', cell('Shipping')) ?? 0;
  const totalPaise = readRupees(faults, 'Total', cell('Total'), true) ?? 0;
  const discount = readRupees(faults, 'Discount Amount', cell('Discount Amount')) ?? 0;
  const taxes = readRupees(faults, 'Taxes', cell('Taxes')) ?? 0;
  const lineDiscount = group.rows.reduce(
    (sum, row) => sum + (readRupees(faults, 'Lineitem discount', row.cell('Lineitem discount')) ?? 0),
    0,
  );
  const gross = lines.reduce((sum, line) => sum + line.quantity * (line.unitPricePaise ?? 0), 0);
  const discountPaise = gross - subtotal;
  if (faults.all.length === before && currency === 'INR') {
    if (discountPaise !== discount && discountPaise !== discount + lineDiscount) {
      faults.add('Subtotal', 'is not the sum of the line items less the discount; is a row of this order missing?');
    }
    if (taxes > 0 && totalPaise === subtotal + shippingPaise + taxes) {
      faults.add('Total', 'has taxes on top of the prices; prices must include GST');
    } else if (totalPaise !== subtotal + shippingPaise) faults.add('Total', 'is not Subtotal + Shipping');
  }
  return { discountPaise, shippingPaise, totalPaise };
}

const STAMP = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})\s*(?:([+-]\d{2}):?(\d{2})|Z|UTC)$/;

/** `2026-09-19 03:57:20 +0530` as a moment. */
function readMoment(faults: FaultList, field: string, text: string): Date | undefined {
  if (text === '') return undefined;
  const match = STAMP.exec(text);
  const [, day = '', time = '', hours = '+00', minutes = '00'] = match ?? [];
  const ms = match === null ? NaN : Date.parse(`${day}T${time}${hours}:${minutes}`);
  return Number.isNaN(ms) ? faults.add(field, 'must be a time such as 2026-09-19 03:57:20 +0530') : new Date(ms);
}

function readCustomer(faults: FaultList, cell: ShopifyCell): ImportedOrder['customer'] {
  const phones = ['Shipping Phone', 'Billing Phone', 'Phone'] as const;
  const phoneField = phones.find((field) => cell(field) !== '') ?? 'Shipping Phone';
  const name = oneLine(cell('Shipping Name') || cell('Billing Name'));
  return compact({
    name: readText(faults, 'Shipping Name', name, { max: TEXT_LIMITS.customerName, required: true }) ?? '',
    phone: readPhone(faults, phoneField, cell(phoneField)) ?? '',
    email: readEmail(faults, 'Email', cell('Email')),
  });
}

/** One order from its rows in a Shopify export; every fault is in `faults`, and with any the answer means nothing. */
export function shopifyOrder(
  group: RowGroup<ShopifyColumn>,
  first: GroupRow<ShopifyColumn>,
  faults: FieldFault[],
  known: KnownPincode,
): ImportedOrder {
  const list = faultList(faults);
  const { cell } = first;
  const paymentMethod = readPayment(list, cell);
  const customer = readCustomer(list, cell);
  const shippingAddress = readShipping(list, cell, known);
  const lines = group.rows.map((row) => readLine(row === first ? list : faultList(faults, row), row.cell));
  for (const row of group.rows) {
    if (row !== first && row.cell('Total') !== '' && row.cell('Total') !== cell('Total')) {
      faultList(faults, row).add('Total', `differs from the first row of this order (line ${first.line})`);
    }
  }
  // With an item that cannot be read the sum means nothing, and one fault is enough.
  const totals = faults.some((fault) => fault.field.startsWith('Lineitem'))
    ? { discountPaise: 0, shippingPaise: 0, totalPaise: 0 }
    : readTotals(list, cell, group, lines);
  return compact({
    channel: 'shopify' as const,
    externalId: readText(list, 'Name', group.id, { max: TEXT_LIMITS.externalId, required: true }) ?? '',
    customer,
    shippingAddress,
    billingAddress: billingOf(cell, shippingAddress),
    lines,
    paymentMethod,
    tags: readTags(list, 'Tags', cell('Tags'), ','),
    notes: readText(list, 'Notes', cell('Notes').replace(/\r\n?/g, '\n'), { max: TEXT_LIMITS.notes }),
    ...totals,
    discountCodeText: readText(list, 'Discount Code', oneLine(cell('Discount Code')), { max: 200 }),
    placedAt: readMoment(list, 'Created at', cell('Created at')),
  });
}
