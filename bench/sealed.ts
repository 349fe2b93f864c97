import mongoose from 'mongoose';
import { loadConfig } from '../src/config.ts';
import { inCompany, systemCtx, type Tx } from '../src/platform/context.ts';
import { defineCollection } from '../src/platform/db/collection.ts';
import { connect, disconnect } from '../src/platform/db/connect.ts';
import { prepareSchema } from '../src/platform/db/schema.ts';
import { seal, type Sealed } from '../src/platform/db/sealed.ts';
import { withTransaction } from '../src/platform/db/transaction.ts';
import { newId } from '../src/platform/ids.ts';
import { makeLogger } from '../src/platform/logger.ts';
import { useRuntime } from '../src/platform/runtime.ts';
import { median, report } from './lib/measure.ts';

const NAMES = ['pan', 'gstin', 'accountNumber', 'holderName', 'phone', 'email'] as const;
type Name = (typeof NAMES)[number];

const COUNT = 500;
const PAGE = 50;
const ROUNDS = 15;

const sealedRows = defineCollection<Record<Name, Sealed<string>> & { tag: string }>({
  name: 'bench_sealed',
  rowName: 'bench_row',
  audited: false,
  fields: { tag: { type: String, required: true } },
  sealed: Object.fromEntries(NAMES.map((name, i) => [name, { mask: 'last4' as const, required: true, ...(i < 2 ? { search: 'exact' as const } : {}) }])),
});

const text = { type: String, required: true };
const plainRows = mongoose.model<Record<string, unknown>>(
  'bench_plain',
  new mongoose.Schema<Record<string, unknown>>({ _id: text, companyId: text, tag: text, ...Object.fromEntries(NAMES.map((name) => [name, text])) }, { timestamps: true, collection: 'bench_plain' }),
);

/** What six sealed fields cost beside plain mongoose: CPU of this process for creating, reading and listing rows. */
export async function benchSealed(uri: string, dataDir: string): Promise<void> {
  const config = await loadConfig({ NODE_ENV: 'test', MONGODB_URI: uri, DATA_DIR: dataDir });
  useRuntime({ config, log: makeLogger({ level: 'error' }) });
  await connect({ uri, poolSize: 5, onSlow: () => undefined, slowMs: 10_000 });
  try {
    await prepareSchema();
    await plainRows.createCollection();
    await plainRows.collection.createIndex({ companyId: 1, createdAt: -1, _id: -1 });
    await measure();
  } finally {
    await disconnect();
  }
}

const value = (name: string, n: number): string => `${name} of row ${n}`;

async function measure(): Promise<void> {
  const companyId = newId();
  const ctx = inCompany(systemCtx('bench', companyId), companyId);
  const ids: { sealed: string[]; plain: string[] } = { sealed: [], plain: [] };
  const insert = async (tx: Tx, n: number): Promise<void> => {
    const values = Object.fromEntries(NAMES.map((name) => [name, seal(value(name, n))])) as Record<Name, Sealed<string>>;
    ids.sealed.push((await sealedRows.insert(tx, { tag: `t${n}`, ...values }))._id);
  };
  const create = {
    sealed: () => withTransaction(ctx, async (ctx) => times((n) => insert(ctx, n))),
    plain: () =>
      mongoose.connection.transaction(async (session) => {
        await times(async (n) => {
          const _id = newId();
          await plainRows.create([{ _id, companyId, tag: `t${n}`, ...Object.fromEntries(NAMES.map((name) => [name, value(name, n)])) }], { session });
          ids.plain.push(_id);
        });
      }),
  };
  await compare('sealed.create', 1.3, create);
  await compare('sealed.find', 1.1, {
    sealed: () => times(async (n) => void (await sealedRows.get(ctx, ids.sealed[n] ?? ''))),
    plain: () => times(async (n) => void (await plainRows.findOne({ _id: ids.plain[n], companyId }))),
  });
  const page = Math.ceil(COUNT / PAGE) * 10;
  await compare('sealed.list', 1.25, {
    sealed: () => times(async () => void JSON.stringify((await sealedRows.list(ctx, {}, { limit: PAGE })).data), page),
    plain: () => times(async () => void JSON.stringify(await plainRows.find({ companyId }).sort({ createdAt: -1, _id: -1 }).limit(PAGE + 1)), page),
  });
}

async function times(work: (n: number) => Promise<void>, count = COUNT): Promise<void> {
  for (let n = 0; n < count; n += 1) await work(n);
}

/** Medians of rounds that alternate, so that a disturbance hits both. */
async function compare(name: string, limit: number, { sealed, plain }: Record<'sealed' | 'plain', () => Promise<unknown>>): Promise<void> {
  const used: Record<'sealed' | 'plain', number[]> = { sealed: [], plain: [] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [kind, work] of [['sealed', sealed], ['plain', plain]] as const) {
      const before = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(before);
      if (round > 0) used[kind].push(user + system);
    }
  }
  const ratio = median(used.sealed) / median(used.plain);
  report({ name, value: ratio, unit: '× plain mongoose', goal: `≤ ${limit}`, reached: ratio <= limit, note: `6 sealed fields; ${Math.round(median(used.sealed) / 1000)} ms against ${Math.round(median(used.plain) / 1000)} ms of CPU` });
}
