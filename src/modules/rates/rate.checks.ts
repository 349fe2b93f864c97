import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { pickTerms } from './rate-card-input.rules.ts';
import { rateCardFaults } from './rate-card.rules.ts';
import { courierCoverage, rateCards, serviceability } from './rate.model.ts';

const everybody = () => acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');

/** Every stored card can price any weight up to its limit, and what is archived prices nothing. */
const cardsPrice: Check = {
  name: 'rate cards are whole',
  async run() {
    const wrong: string[] = [];
    for await (const row of rateCards.each(everybody(), {})) {
      const [fault] = rateCardFaults(pickTerms(row));
      if (fault) wrong.push(`Rate card ${row._id} has a faulty ${fault.path}`);
      if (row.archivedAt && (row.status !== 'retired' || row.usedAt)) wrong.push(`Rate card ${row._id} is archived and still in use`);
    }
    return wrong;
  },
};

/** All versions of a card are for one courier and service, and no version number comes twice. */
const versionsAgree: Check = {
  name: 'rate card versions belong together',
  async run() {
    const found = await rateCards.aggregate<{ _id: { cardKey: string } }>(everybody(), [
      {
        $group: {
          _id: { companyId: '$companyId', cardKey: '$cardKey' },
          subjects: { $addToSet: { courier: '$courier', service: '$service' } },
          versions: { $addToSet: '$cardVersion' },
          rows: { $sum: 1 },
        },
      },
      { $match: { $expr: { $or: [{ $gt: [{ $size: '$subjects' }, 1] }, { $ne: [{ $size: '$versions' }, '$rows'] }] } } },
    ]);
    return found.map(({ _id }) => `The versions of rate card ${_id.cardKey} do not belong together`);
  },
};

/** A courier with rows has its coverage row: without it other processes would not hear of changes. */
const rowsCovered: Check = {
  name: 'serviceability rows have a coverage row',
  async run() {
    const covered = new Set((await courierCoverage.find(everybody(), {})).map(({ courier }) => courier));
    const found = await serviceability.aggregate<{ _id: string }>(everybody(), [{ $group: { _id: '$courier' } }]);
    return found.flatMap(({ _id }) => (covered.has(_id) ? [] : [`Courier ${_id} has serviceability rows and no coverage row`]));
  },
};

export const rateChecks = [cardsPrice, versionsAgree, rowsCovered];
