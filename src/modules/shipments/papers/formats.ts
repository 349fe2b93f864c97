import { formatRupees } from '../../../platform/money.ts';
import type { PaperAddress } from './paper.views.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const indianDay = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'Asia/Kolkata',
  year: 'numeric',
  month: 'numeric',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});

function indianParts(at: Date): Record<string, string> {
  return Object.fromEntries(indianDay.formatToParts(at).map((part) => [part.type, part.value]));
}

/** The Indian calendar day as `07 Nov 2026`. */
export function formatDay(at: Date): string {
  const parts = indianParts(at);
  return `${parts.day} ${MONTHS[Number(parts.month) - 1]} ${parts.year}`;
}

/** Indian day and time as `07 Nov 2026 14:05 IST`. */
export function formatMoment(at: Date): string {
  const parts = indianParts(at);
  return `${formatDay(at)} ${parts.hour}:${parts.minute} IST`;
}

/** Grams as `450 g` below one kilogram and as `1.25 kg` from there. */
export function formatWeight(grams: number): string {
  return grams < 1000 ? `${grams} g` : `${Number((grams / 1000).toFixed(3))} kg`;
}

/** Millimetres as `30 × 20.5 × 10 cm`. */
export function formatSize(size: { lengthMm: number; widthMm: number; heightMm: number }): string {
  return `${[size.lengthMm, size.widthMm, size.heightMm].map((mm) => mm / 10).join(' × ')} cm`;
}

/** Paise as `Rs 1,234.00`: the standard PDF fonts have no rupee sign. */
export function formatPrice(paise: number): string {
  return `Rs ${formatRupees(paise)}`;
}

/** The street lines of an address as one text, in order, without empty ones. */
export function joinLines(address: PaperAddress): string {
  return address.lines
    .map((line) => line.trim())
    .filter(Boolean)
    .join(', ');
}

/** `City, State 700140`. */
export function placeLine(address: PaperAddress): string {
  return `${[address.city, address.state].filter(Boolean).join(', ')} ${address.pincode}`.trim();
}
