import { acrossCompanies, inCompany, PLATFORM_COMPANY_ID, systemCtx, type Ctx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import type { Check } from '../../platform/module.ts';
import { eachTopup } from '../wallet/index.ts';
import { payments, type Payment } from './payment.model.ts';
import { isPaid } from './payment.rules.ts';

function everyCompany(): Ctx {
  return acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');
}

interface Credits {
  count: number;
  amountPaise: number;
}

const topupsAreCreditedOnce: Check = {
  name: 'every captured top-up is credited to the wallet exactly once, and nothing else is',
  async run() {
    const ctx = everyCompany();
    const { byPayment, companies } = await creditsOf(ctx);
    const suspects = new Set<string>();
    for await (const payment of payments.each(ctx, {})) {
      if (faultOf(payment, byPayment.get(payment._id))) suspects.add(payment.companyId);
      byPayment.delete(payment._id);
    }
    for (const paymentId of byPayment.keys()) suspects.add(companies.get(paymentId) ?? '');
    const wrong: string[] = [];
    for (const companyId of suspects) wrong.push(...(await checkCompany(companyId)));
    return wrong;
  },
};

/** Once more in one snapshot: while payments arrive, two reads without one do not belong together. */
async function checkCompany(companyId: string): Promise<string[]> {
  return withTransaction(inCompany(systemCtx('checks', companyId), companyId), async (ctx) => {
    const { byPayment } = await creditsOf(ctx);
    const wrong: string[] = [];
    for await (const payment of payments.each(ctx, {})) {
      const fault = faultOf(payment, byPayment.get(payment._id));
      if (fault !== undefined) wrong.push(fault);
      byPayment.delete(payment._id);
    }
    for (const paymentId of byPayment.keys()) wrong.push(`The wallet of company ${companyId} was credited for payment ${paymentId}, which does not exist`);
    return wrong;
  });
}

async function creditsOf(ctx: Ctx): Promise<{ byPayment: Map<string, Credits>; companies: Map<string, string> }> {
  const byPayment = new Map<string, Credits>();
  const companies = new Map<string, string>();
  for await (const { companyId, paymentId, amountPaise } of eachTopup(ctx)) {
    const { count, amountPaise: sum } = byPayment.get(paymentId) ?? { count: 0, amountPaise: 0 };
    byPayment.set(paymentId, { count: count + 1, amountPaise: sum + amountPaise });
    companies.set(paymentId, companyId);
  }
  return { byPayment, companies };
}

function faultOf({ _id, purpose, status, amountPaise }: Row<Payment>, credits: Credits | undefined): string | undefined {
  const due = purpose === 'topup' && isPaid(status);
  const count = credits?.count ?? 0;
  if (count !== (due ? 1 : 0)) return `Payment ${_id} (${purpose}, ${status}) is credited ${count} times`;
  if (credits && credits.amountPaise !== amountPaise) return `Payment ${_id} of ${amountPaise} paise is credited with ${credits.amountPaise}`;
  return undefined;
}

const statusesHold: Check = {
  name: 'a paid payment names the provider’s payment; refunds add up and never exceed the payment',
  async run() {
    const wrong: string[] = [];
    for await (const { _id, status, providerPaymentId, amountPaise, refundedPaise, refunds } of payments.each(everyCompany(), {})) {
      const sum = refunds.reduce((total, refund) => total + refund.amountPaise, 0);
      if (isPaid(status) && providerPaymentId === undefined) wrong.push(`Payment ${_id} is ${status} without a payment of the provider`);
      if (sum !== refundedPaise) wrong.push(`Payment ${_id} says ${refundedPaise} paise refunded, its refunds ${sum}`);
      if (refundedPaise > amountPaise) wrong.push(`Payment ${_id} gave back more than it took`);
      if ((status === 'refunded') !== (refundedPaise === amountPaise)) wrong.push(`Payment ${_id} is ${status} with ${refundedPaise} of ${amountPaise} paise refunded`);
      if (refundedPaise > 0 && !isPaid(status)) wrong.push(`Payment ${_id} was refunded and never paid`);
    }
    return wrong;
  },
};

export const paymentChecks = [topupsAreCreditedOnce, statusesHold];
