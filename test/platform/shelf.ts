import { defineCollection } from '../../src/platform/db/collection.ts';

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
