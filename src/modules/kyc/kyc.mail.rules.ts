import type { KycStatus } from '../companies/index.ts';
import type { OutgoingMail } from '../notifications/index.ts';
import type { KycDocument } from './kyc.model.ts';

const NAMES: Readonly<Record<KycDocument, string>> = { pan: 'PAN', aadhaar: 'Aadhaar', gstin: 'GSTIN', bankAccount: 'Bank account' };

interface StatusMail {
  to: string;
  name: string;
  company: string;
  overall: KycStatus;
  lines: readonly { document: KycDocument; status: KycStatus; reason: string }[];
}

const words = (status: KycStatus): string => status.replaceAll('_', ' ');

/** Tells an owner what became of documents; holds reasons, and never a number. */
export function statusMail({ to, name, company, overall, lines }: StatusMail): OutgoingMail {
  const list = lines.map(({ document, status, reason }) => `- ${NAMES[document]}: ${words(status)}${reason === '' ? '' : `. ${reason}`}`).join('\n');
  const next = overall === 'verified' ? 'You can book with every courier and receive money.' : 'Sign in to see what is still needed.';
  return {
    kind: 'kyc_status',
    to,
    subject: `KYC of ${company}: ${words(overall)}`,
    text: `Hello ${name},\n\nyour KYC documents were looked at:\n\n${list}\n\nAs a whole the KYC is ${words(overall)}. ${next}\n`,
  };
}
