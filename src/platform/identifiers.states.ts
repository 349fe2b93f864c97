/** A state or union territory under its usual English name, with the codes that laws and shops give it. */
export interface IndianState {
  readonly name: string;
  /** The first two digits of its GSTINs, by the GST list of state codes. */
  readonly gstCode: string;
  /** ISO 3166-2:IN without `IN-`. */
  readonly isoCode: string;
}

interface StateRow extends IndianState {
  readonly retiredGstCodes: readonly string[];
  readonly aliases: readonly string[];
}

function row(
  gstCode: string,
  isoCode: string,
  name: string,
  aliases: string[] = [],
  ...retiredGstCodes: string[]
): StateRow {
  return { name, gstCode, isoCode, retiredGstCodes, aliases };
}

const ROWS: readonly StateRow[] = [
  row('01', 'JK', 'Jammu and Kashmir', ['J&K', 'Jammu Kashmir']),
  row('02', 'HP', 'Himachal Pradesh'),
  row('03', 'PB', 'Punjab'),
  row('04', 'CH', 'Chandigarh'),
  row('05', 'UK', 'Uttarakhand', ['UT', 'UA', 'Uttaranchal']),
  row('06', 'HR', 'Haryana'),
  row('07', 'DL', 'Delhi', ['New Delhi', 'NCT of Delhi', 'Delhi NCT', 'National Capital Territory of Delhi']),
  row('08', 'RJ', 'Rajasthan'),
  row('09', 'UP', 'Uttar Pradesh'),
  row('10', 'BR', 'Bihar'),
  row('11', 'SK', 'Sikkim'),
  row('12', 'AR', 'Arunachal Pradesh'),
  row('13', 'NL', 'Nagaland'),
  row('14', 'MN', 'Manipur'),
  row('15', 'MZ', 'Mizoram', ['MI']),
  row('16', 'TR', 'Tripura'),
  row('17', 'ML', 'Meghalaya'),
  row('18', 'AS', 'Assam'),
  row('19', 'WB', 'West Bengal'),
  row('20', 'JH', 'Jharkhand'),
  row('21', 'OD', 'Odisha', ['OR', 'Orissa']),
  row('22', 'CG', 'Chhattisgarh', ['CT', 'Chattisgarh', 'Chhatisgarh']),
  row('23', 'MP', 'Madhya Pradesh'),
  row('24', 'GJ', 'Gujarat'),
  row(
    '26',
    'DH',
    'Dadra and Nagar Haveli and Daman and Diu',
    ['DN', 'DD', 'Dadra and Nagar Haveli', 'Daman and Diu'],
    '25',
  ),
  row('27', 'MH', 'Maharashtra'),
  row('29', 'KA', 'Karnataka'),
  row('30', 'GA', 'Goa'),
  row('31', 'LD', 'Lakshadweep', ['Lakshadweep Islands']),
  row('32', 'KL', 'Kerala'),
  row('33', 'TN', 'Tamil Nadu', ['Tamilnadu']),
  row('34', 'PY', 'Puducherry', ['Pondicherry']),
  row('35', 'AN', 'Andaman and Nicobar Islands', ['Andaman and Nicobar']),
  row('36', 'TS', 'Telangana', ['TG']),
  row('37', 'AP', 'Andhra Pradesh', [], '28'),
  row('38', 'LA', 'Ladakh'),
  row('97', 'OT', 'Other Territory'),
];

/** Letters only, upper case, `&` and `and` and a leading `The` dropped: two spellings of one name meet here. */
function key(text: string): string {
  return text
    .normalize('NFKC')
    .toUpperCase()
    .replace(/^\s*IN-/, '')
    .replace(/&/g, ' AND ')
    .replace(/\b(?:THE|AND)\b/g, '')
    .replace(/[^A-Z]/g, '');
}

const BY_KEY = new Map<string, IndianState>();
const BY_GST_CODE = new Map<string, IndianState>();
for (const { retiredGstCodes, aliases, ...state } of ROWS) {
  for (const name of [state.name, state.isoCode, ...aliases]) BY_KEY.set(key(name), state);
  for (const code of [state.gstCode, ...retiredGstCodes]) BY_GST_CODE.set(code, state);
}

/** All states and union territories of the GST list, in the order of their codes; includes 97 Other Territory. */
export const STATES: readonly IndianState[] = ROWS.map(({ name, gstCode, isoCode }) => ({ name, gstCode, isoCode }));

/** The state meant by a name in any usual spelling or by an ISO or Shopify province code; undefined when unknown. */
export function findState(text: string): IndianState | undefined {
  return text.length > 100 ? undefined : BY_KEY.get(key(text));
}

/** The GST state code of a state's name or province code (`Delhi`, `DL` → `07`); undefined when unknown. */
export function stateCode(text: string): string | undefined {
  return findState(text)?.gstCode;
}

/** The state that a GST state code means, the retired 25 and 28 included; undefined when there is none. */
export function stateOfGstCode(code: string): IndianState | undefined {
  return BY_GST_CODE.get(code);
}
