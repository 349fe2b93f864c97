import { acrossCompanies, inCompany, PLATFORM_COMPANY_ID, systemCtx, type Ctx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import type { Check } from '../../platform/module.ts';
import { ledgerEntries, wallets, type Wallet } from './wallet.model.ts';
import { changeOf } from './wallet.rules.ts';

type Sums = Pick<Wallet, 'balancePaise' | 'heldPaise' | 'creditLimitPaise' | 'entries'>;
type SumsById = Sums & { _id: string };

const SUMS = {
  balancePaise: { $sum: '$balanceChangePaise' },
  heldPaise: { $sum: '$heldChangePaise' },
  creditLimitPaise: { $sum: '$creditLimitChangePaise' },
  entries: { $sum: 1 },
};
const NO_SUMS: Sums = { balancePaise: 0, heldPaise: 0, creditLimitPaise: 0, entries: 0 };

function everyCompany(): Ctx {
  return acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');
}

const legsSumToZero: Check = {
  name: 'the legs of every ledger entry sum to zero and are what it changes',
  async run() {
    const legsOf = (account: string) => ({
      $sum: { $map: { input: '$legs', in: { $cond: [{ $eq: ['$$this.account', account] }, '$$this.amountPaise', 0] } } },
    });
    const rows = await ledgerEntries.aggregate<{ _id: string; sum: number; wallet: number; held: number; balanceChangePaise: number; heldChangePaise: number }>(
      everyCompany(),
      [
        { $project: { sum: { $sum: '$legs.amountPaise' }, wallet: legsOf('wallet'), held: legsOf('held'), balanceChangePaise: 1, heldChangePaise: 1 } },
        { $addFields: { free: { $subtract: ['$balanceChangePaise', '$heldChangePaise'] } } },
        { $match: { $expr: { $or: [{ $ne: ['$sum', 0] }, { $ne: ['$held', '$heldChangePaise'] }, { $ne: ['$wallet', '$free'] }] } } },
      ],
    );
    return rows.map(({ _id, sum }) =>
      sum === 0 ? `Ledger entry ${_id} changes other sums than its legs say` : `The legs of ledger entry ${_id} sum to ${sum} paise`,
    );
  },
};

const walletsAreSums: Check = {
  name: 'every wallet is the sum of its ledger entries, and available = balance − held + credit limit',
  async run() {
    const ctx = everyCompany();
    const sums = new Map((await ledgerEntries.aggregate<SumsById>(ctx, [{ $group: { _id: '$companyId', ...SUMS } }])).map((row) => [row._id, row]));
    const suspects: string[] = [];
    for await (const wallet of wallets.each(ctx, {})) {
      if (faultOf(wallet.companyId, wallet, sums.get(wallet.companyId) ?? NO_SUMS)) suspects.push(wallet.companyId);
      sums.delete(wallet.companyId);
    }
    const wrong: string[] = [];
    for (const companyId of [...suspects, ...sums.keys()]) wrong.push(...(await checkWallet(companyId)));
    return wrong;
  },
};

/** Once more in one snapshot: while money moves, two reads without one do not belong together. */
async function checkWallet(companyId: string): Promise<string[]> {
  return withTransaction(inCompany(systemCtx('checks', companyId), companyId), async (ctx) => {
    const [sums] = await ledgerEntries.aggregate<SumsById>(ctx, [{ $group: { _id: '$companyId', ...SUMS } }]);
    const wallet = await wallets.findOne(ctx, {});
    if (!wallet) return sums ? [`Company ${companyId} has ${sums.entries} ledger entries and no wallet`] : [];
    const fault = faultOf(companyId, wallet, sums ?? NO_SUMS);
    return fault === undefined ? [] : [fault];
  });
}

function faultOf(companyId: string, wallet: Wallet, sums: Sums): string | undefined {
  for (const field of ['balancePaise', 'heldPaise', 'creditLimitPaise', 'entries'] as const) {
    if (wallet[field] !== sums[field]) return `The wallet of company ${companyId} says ${field} ${wallet[field]}, its entries ${sums[field]}`;
  }
  const { availablePaise } = changeOf([
    { balanceChangePaise: wallet.balancePaise, heldChangePaise: wallet.heldPaise, creditLimitChangePaise: wallet.creditLimitPaise },
  ]);
  if (wallet.availablePaise !== availablePaise) return `The wallet of company ${companyId} says ${wallet.availablePaise} available, it is ${availablePaise}`;
  return undefined;
}

interface OfShipment {
  _id: { companyId: string; shipmentId: string };
  kinds: string[];
  heldPaise: number;
  duePaise: number;
}

const shipmentsAreConsistent: Check = {
  name: 'per shipment: each kind once (COD due again after its reversal), no end without its hold, an ended hold is wholly ended, COD reversed as it was due',
  async run() {
    const rows = await ledgerEntries.aggregate<OfShipment>(everyCompany(), [
      {
        $group: {
          _id: { companyId: '$companyId', shipmentId: '$shipmentId' },
          kinds: { $push: '$kind' },
          heldPaise: { $sum: '$heldChangePaise' },
          duePaise: { $sum: { $cond: [{ $in: ['$kind', ['cod_due', 'cod_reversed']] }, '$amountPaise', 0] } },
        },
      },
    ]);
    return rows.flatMap((row) => (row._id.shipmentId === undefined ? [] : faultsOfShipment(row)));
  },
};

function faultsOfShipment({ _id: { shipmentId }, kinds, heldPaise, duePaise }: OfShipment): string[] {
  const wrong: string[] = [];
  const has = (kind: string): boolean => kinds.includes(kind);
  const once = kinds.filter((kind) => kind !== 'cod_due' && kind !== 'cod_reversed');
  if (new Set(once).size !== once.length) wrong.push(`Shipment ${shipmentId} has a kind of ledger entry twice: ${kinds.join(', ')}`);
  const ended = has('release') || has('charge');
  if (has('release') && has('charge')) wrong.push(`The hold of shipment ${shipmentId} was both released and charged`);
  if (ended && !has('hold')) wrong.push(`Shipment ${shipmentId} has a ${has('charge') ? 'charge' : 'release'} without a hold`);
  if (ended && heldPaise !== 0) wrong.push(`The hold of shipment ${shipmentId} ended and ${heldPaise} paise are still held`);
  const open = kinds.filter((kind) => kind === 'cod_due').length - kinds.filter((kind) => kind === 'cod_reversed').length;
  if (open !== 0 && open !== 1) wrong.push(`Shipment ${shipmentId} has a COD due or its reversal twice: ${kinds.join(', ')}`);
  if (open === 0 && duePaise !== 0) wrong.push(`Shipment ${shipmentId} has another COD due than was reversed`);
  return wrong;
}

const DEBTS = ['rto_freight', 'adjustment', 'credit_limit'];

const noUnexplainedDebt: Check = {
  name: 'a wallet is below its credit limit only through RTO freight, adjustments or a changed limit',
  async run() {
    const ctx = everyCompany();
    const wrong: string[] = [];
    for await (const { companyId, availablePaise } of wallets.each(ctx, {})) {
      if (availablePaise >= 0) continue;
      const debt = await ledgerEntries.findOne(inCompany(ctx, companyId), { kind: { $in: DEBTS as never } }, { fields: ['kind'] });
      if (!debt) wrong.push(`The wallet of company ${companyId} is below its credit limit without a debt that may do that`);
    }
    return wrong;
  },
};

export const walletChecks = [legsSumToZero, walletsAreSums, shipmentsAreConsistent, noUnexplainedDebt];
