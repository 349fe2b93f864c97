import { findState } from '../../platform/identifiers.states.ts';
import { parsePincode } from '../../platform/identifiers.ts';

/** One line of the pincode file; an empty state means unknown. */
export interface PincodeRow {
  pincode: string;
  state: string;
  districts: readonly string[];
}

/** What is known of a pincode; `inferred` means that the state is the majority of its first three digits. */
export interface Pincode {
  pincode: string;
  state: string;
  districts: readonly string[];
  inferred: boolean;
}

/** All pincodes in a few typed arrays (about 0.3 MB for 19,586), looked up by binary search. */
export interface PincodeTable {
  readonly size: number;
  readonly pins: Int32Array;
  readonly stateAt: Uint8Array;
  readonly districtsAt: Uint16Array;
  readonly states: readonly string[];
  readonly districtSets: readonly (readonly string[])[];
  /** For each first three digits the index of the majority state, 0 for none. */
  readonly prefixState: Uint8Array;
}

const UNKNOWN = 0;
const SMALL_WORDS = new Set(['and', 'of', 'the']);

/** `GAUTAM BUDDHA NAGAR` as `Gautam Buddha Nagar`, dotted initials kept. */
function titleCase(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[a-z]+/g, (word, at: number) =>
      at > 0 && SMALL_WORDS.has(word) ? word : word.charAt(0).toUpperCase() + word.slice(1),
    );
}

/** The state's usual name for any known spelling, else the text in title case. */
export function stateName(text: string): string {
  return findState(text)?.name ?? titleCase(text);
}

interface Interner<T> {
  readonly values: T[];
  indexOf(key: string, make: () => T): number;
}

function interner<T>(first: T): Interner<T> {
  const values = [first];
  const known = new Map<string, number>([['', UNKNOWN]]);
  const indexOf = (key: string, make: () => T): number => {
    const found = known.get(key);
    if (found !== undefined) return found;
    known.set(key, values.length);
    return values.push(make()) - 1;
  };
  return { values, indexOf };
}

/** The majority state of each three-digit prefix; a tie has no majority. */
function majorities(pins: Int32Array, stateAt: Uint8Array, stateCount: number): Uint8Array {
  const counts = new Uint32Array(1000 * stateCount);
  pins.forEach((pin, at) => {
    const cell = Math.floor(pin / 1000) * stateCount + (stateAt[at] ?? UNKNOWN);
    counts[cell] = (counts[cell] ?? 0) + 1;
  });
  return Uint8Array.from({ length: 1000 }, (_, prefix) => {
    const row = counts.subarray(prefix * stateCount + 1, (prefix + 1) * stateCount);
    const most = row.length === 0 ? 0 : Math.max(...row);
    const winner = row.indexOf(most);
    return most > 0 && row.lastIndexOf(most) === winner ? winner + 1 : UNKNOWN;
  });
}

/** The table of these rows in any order; a malformed pincode or one listed twice is refused with a RangeError. */
export function buildPincodeTable(rows: readonly PincodeRow[]): PincodeTable {
  const sorted = [...rows].sort((a, b) => (a.pincode < b.pincode ? -1 : 1));
  const pins = new Int32Array(sorted.length);
  const stateAt = new Uint8Array(sorted.length);
  const districtsAt = new Uint16Array(sorted.length);
  const states = interner('');
  const districtSets = interner<readonly string[]>([]);
  sorted.forEach((row, at) => {
    if (!/^[1-9]\d{5}$/.test(row.pincode)) throw new RangeError(`"${row.pincode}" in the pincode data is no pincode`);
    if (sorted[at - 1]?.pincode === row.pincode) throw new RangeError(`Pincode ${row.pincode} is listed twice`);
    pins[at] = Number(row.pincode);
    stateAt[at] = states.indexOf(row.state, () => stateName(row.state));
    districtsAt[at] = districtSets.indexOf(row.districts.join(';'), () => Object.freeze(row.districts.map(titleCase)));
  });
  return {
    size: pins.length,
    pins,
    stateAt,
    districtsAt,
    states: states.values,
    districtSets: districtSets.values,
    prefixState: majorities(pins, stateAt, states.values.length),
  };
}

function positionOf(pins: Int32Array, pin: number): number {
  let low = 0;
  let high = pins.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const at = pins[middle] ?? 0;
    if (at === pin) return middle;
    if (at < pin) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** True when the table lists this pincode itself, whether its state is known or not. */
export function isListedPincode(table: PincodeTable, pincode: string): boolean {
  return /^[1-9]\d{5}$/.test(pincode) && positionOf(table.pins, Number(pincode)) >= 0;
}

/**
 * State and districts of a compact pincode; one that is missing, or listed without a state, gets the majority state
 * of its first three digits, flagged `inferred`. Undefined when it is no pincode or has no such majority.
 */
export function lookupPincode(table: PincodeTable, pincode: string): Pincode | undefined {
  if (!/^[1-9]\d{5}$/.test(pincode)) return undefined;
  const at = positionOf(table.pins, Number(pincode));
  const listed = at < 0 ? UNKNOWN : (table.stateAt[at] ?? UNKNOWN);
  const state = table.states[listed || (table.prefixState[Number(pincode.slice(0, 3))] ?? UNKNOWN)];
  if (!state) return undefined;
  const districts = (at < 0 ? undefined : table.districtSets[table.districtsAt[at] ?? UNKNOWN]) ?? [];
  return { pincode, state, districts, inferred: listed === UNKNOWN };
}

/** Is this compact pincode, or its neighbourhood, one we know of? */
export type KnownPincode = (pincode: string) => boolean;

/** A pincode that parcels can be priced, collected and delivered by: well formed and known. */
export function parseKnownPincode(text: string, known: KnownPincode): ReturnType<typeof parsePincode> {
  const pincode = parsePincode(text);
  return !pincode.ok || known(pincode.value) ? pincode : { ok: false, problem: 'is not a pincode that India Post knows' };
}
