/** States and union territories: the name we store, codes (ISO 3166-2:IN, Shopify's, older ones), other spellings. */
const STATES: readonly (readonly [name: string, codes: string, spellings?: string])[] = [
  ['Andaman and Nicobar Islands', 'AN', 'Andaman and Nicobar'],
  ['Andhra Pradesh', 'AP AD'],
  ['Arunachal Pradesh', 'AR'],
  ['Assam', 'AS'],
  ['Bihar', 'BR BH'],
  ['Chandigarh', 'CH'],
  ['Chhattisgarh', 'CG CT', 'Chattisgarh'],
  ['Dadra and Nagar Haveli and Daman and Diu', 'DH DN DD', 'Dadra and Nagar Haveli|Daman and Diu'],
  ['Delhi', 'DL', 'New Delhi|NCT of Delhi|National Capital Territory of Delhi'],
  ['Goa', 'GA'],
  ['Gujarat', 'GJ'],
  ['Haryana', 'HR'],
  ['Himachal Pradesh', 'HP'],
  ['Jammu and Kashmir', 'JK'],
  ['Jharkhand', 'JH'],
  ['Karnataka', 'KA'],
  ['Kerala', 'KL'],
  ['Ladakh', 'LA'],
  ['Lakshadweep', 'LD'],
  ['Madhya Pradesh', 'MP'],
  ['Maharashtra', 'MH'],
  ['Manipur', 'MN'],
  ['Meghalaya', 'ML'],
  ['Mizoram', 'MZ'],
  ['Nagaland', 'NL'],
  ['Odisha', 'OR OD', 'Orissa'],
  ['Puducherry', 'PY', 'Pondicherry'],
  ['Punjab', 'PB'],
  ['Rajasthan', 'RJ'],
  ['Sikkim', 'SK'],
  ['Tamil Nadu', 'TN'],
  ['Telangana', 'TS TG', 'Telengana'],
  ['Tripura', 'TR'],
  ['Uttar Pradesh', 'UP'],
  ['Uttarakhand', 'UK UT UA', 'Uttaranchal'],
  ['West Bengal', 'WB'],
];

function stateKey(text: string): string {
  return text
    .toLowerCase()
    .replace(/&/g, 'and')
    .replace(/[^a-z]/g, '')
    .replace(/^the(?=andaman|dadra)|^in(?=[a-z]{2}$)/, '');
}

const BY_KEY: ReadonlyMap<string, string> = new Map(
  STATES.flatMap(([name, codes, spellings]) =>
    [name, ...codes.split(' '), ...(spellings?.split('|') ?? [])].map((text) => [stateKey(text), name] as const),
  ),
);

/** The state's name for a name or code in any usual spelling ("MH", "IN-MH", "Jammu & Kashmir"), or undefined. */
export function stateName(text: string): string | undefined {
  return BY_KEY.get(stateKey(text));
}
