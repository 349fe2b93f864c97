import { job } from '../../platform/jobs.ts';
import { ERASE_COMPANY, runCompanyErasure } from './company.service.ts';
import { ERASE_CUSTOMER, runCustomerErasure } from './customer.service.ts';

export const privacyJobs = [
  job<{ erasureId: string }>({ name: ERASE_CUSTOMER, attempts: 20, backoffMs: 2_000, handle: (ctx, { erasureId }) => runCustomerErasure(ctx, erasureId) }),
  job<{ erasureId: string }>({ name: ERASE_COMPANY, attempts: 20, backoffMs: 10_000, handle: (ctx, { erasureId }) => runCompanyErasure(ctx, erasureId) }),
];
