/** Money is integer paise, rates are integer basis points (1 bp = 0.01 %). No float ever holds money. */

const MAX_PAISE = Number.MAX_SAFE_INTEGER;

/** True for a whole number of paise that arithmetic keeps exact. */
export function isPaise(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

/** `amount * bp / 10000`, halves away from zero: floor((2*x*b + 10000) / 20000) for x >= 0. Exact also beyond 2^53. */
export function applyBp(amountPaise: number, bp: number): number {
  const product = amountPaise * bp * 2;
  if (Number.isSafeInteger(product) && amountPaise >= 0) return Math.floor((product + 10_000) / 20_000);
  const negative = amountPaise < 0;
  const x = BigInt(Math.abs(amountPaise));
  const result = Number((2n * x * BigInt(bp) + 10_000n) / 20_000n);
  return negative ? -result : result;
}

/** The tax that a price including tax contains: price - price * 10000 / (10000 + bp), halves up. */
export function taxIncluded(pricePaise: number, bp: number): number {
  const x = BigInt(pricePaise) * BigInt(bp) * 2n;
  const d = BigInt(10_000 + bp);
  return Number((x + d) / (2n * d));
}

/**
 * Rupees written by people or spreadsheets ("1,299.00", "Rs. 50", "₹1,00,000.5") as paise; undefined when it is not
 * an amount, has more than two decimals that matter, or has commas where no grouping puts them ("1299,00" could be
 * 1,299 rupees with a decimal comma, so it is refused and not read as 1,29,900).
 */
export function parseRupees(text: string): number | undefined {
  const cleaned = text
    .trim()
    .replace(/^'/, '')
    .replace(/^(?:rs\.?|inr|₹)\s*/i, '')
    // No white space before it in the pattern: 60,000 blanks then took two seconds.
    .replace(/(?:inr|\/-)$/i, '')
    .trimEnd();
  if (cleaned.includes(',') && !/^\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?$/.test(cleaned)) return undefined;
  const match = /^(\d{1,13})(?:\.(\d{1,2})0*)?$/.exec(cleaned.replaceAll(',', ''));
  if (!match) return undefined;
  const paise = Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'));
  return paise <= MAX_PAISE ? paise : undefined;
}

/** Paise as `1,23,456.78`, the Indian grouping; no currency sign, because the standard PDF fonts lack it. */
export function formatRupees(paise: number): string {
  const sign = paise < 0 ? '-' : '';
  const whole = Math.floor(Math.abs(paise) / 100).toString();
  const last3 = whole.slice(-3);
  const rest = whole.slice(0, -3).replace(/\B(?=(\d{2})+(?!\d))/g, ',');
  return `${sign}${rest ? `${rest},${last3}` : last3}.${(Math.abs(paise) % 100).toString().padStart(2, '0')}`;
}
