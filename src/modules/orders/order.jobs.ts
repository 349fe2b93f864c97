import { job } from '../../platform/jobs.ts';
import { expireUnpaid } from './order.service.ts';

export const orderJobs = [
  job<{ orderId: string }>({
    name: 'orders.expire_unpaid',
    attempts: 10,
    backoffMs: 1_000,
    handle: (ctx, { orderId }) => expireUnpaid(ctx, orderId),
  }),
];
