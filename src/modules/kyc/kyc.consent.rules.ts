/** The words that are agreed to with an Aadhaar number. Another text needs another version: consents name it for ever. */
export const AADHAAR_CONSENT = {
  version: '2026-11',
  text:
    'I give my Aadhaar number of my own will so that my identity is verified for this account. It is used for nothing else. ' +
    'Only its last four digits and the result are kept, unless the law obliges the company to keep the number, which is then sealed. ' +
    'I may use another document instead, and may take this consent back at any time.',
} as const;

/** True when a company must keep the number: `all`, or its id in the list of the setting. */
export function keepsAadhaar(setting: string, companyId: string): boolean {
  return setting.split(',').some((entry) => ['all', companyId].includes(entry.trim()));
}
