import type { Retention } from '../../platform/retention.ts';
import { runtime } from '../../platform/runtime.ts';
import { sessions } from './session.model.ts';

/** Of sessions that ended long ago the slot stays, without where they came from. */
export const sessionRetention: readonly Retention[] = [
  {
    name: 'sessions',
    days: () => runtime().config.retentionSessionTracesDays,
    async sweep(before, most) {
      const old = await sessions.find({ endedAt: { $lt: before }, live: false, address: { $exists: true } }, { limit: most, fields: ['_id'] });
      if (old.length === 0) return 0;
      const which = { _id: { $in: old.map((slot) => slot._id) }, live: false };
      return sessions.changeAll(which, { $unset: { address: '', userAgent: '' } });
    },
  },
];
