import { defineCollection } from '../../src/platform/db/collection.ts';
import type { Sealed } from '../../src/platform/db/sealed.ts';
import { SEALED_FIELD } from '../../src/platform/db/sealed-fields.ts';

/** The collection that the platform's own tests write to. */
export interface Book {
  title: string;
  stock: number;
  used?: number;
  limit?: number;
  tags: string[];
}

export const books = defineCollection<Book>({
  name: 'test_books',
  rowName: 'book',
  fields: {
    title: { type: String, required: true, maxlength: 100 },
    stock: { type: Number, required: true },
    used: { type: Number },
    limit: { type: Number },
    tags: { type: [String], required: true },
  },
  bounds: { tags: 3 },
  indexes: [{ keys: { companyId: 1, title: 1 }, unique: true }],
});

export interface Guardian {
  name: string;
  phone: string;
  email?: string;
}

/** A reader of books: every kind of place that a value can be sealed at. */
export interface Reader {
  tag: string;
  pan: Sealed<string, string>;
  guardian?: Sealed<Guardian, Guardian>;
  bank?: { name?: string; accountNumber?: Sealed<string> };
  cards: { note?: string; number?: Sealed<string> }[];
  /** Kept under the key of the books, which an erasure spares. */
  invoiceName?: Sealed<string>;
  /** Found, and unique, over all companies. */
  login?: Sealed<string, string>;
}

export const readers = defineCollection<Reader>({
  name: 'test_readers',
  rowName: 'reader',
  fields: {
    tag: { type: String, required: true },
    bank: { type: { name: String, accountNumber: SEALED_FIELD } },
    cards: { type: [{ _id: false, note: String, number: SEALED_FIELD }], required: true },
  },
  sealed: {
    pan: { mask: 'pan', search: 'exact', required: true },
    guardian: {
      mask: ({ name, phone, email }: Guardian): Guardian => ({ name: name.slice(0, 1), phone: `***${phone.slice(-4)}`, ...(email === undefined ? {} : { email: '***' }) }),
      search: { phone: (v: Guardian) => v.phone, email: (v: Guardian) => v.email },
    },
    'bank.accountNumber': { mask: 'last4', search: 'exact' },
    'cards.number': { mask: 'last4' },
    invoiceName: { mask: 'none', key: 'books' },
    login: { mask: 'email', search: { login: { of: (v: string) => v, scope: 'platform', form: 'email' }, ownLogin: { of: (v: string) => v, form: 'email' } } },
  },
  bounds: { cards: 5 },
  indexes: [{ keys: { companyId: 1, 'blind.pan': 1 }, unique: true, partial: { 'blind.pan': { $exists: true } } }, { keys: { companyId: 1, 'blind.phone': 1 }, partial: { 'blind.phone': { $exists: true } } }, { keys: { 'blind.login': 1 }, unique: true, partial: { 'blind.login': { $exists: true } } }],
});
