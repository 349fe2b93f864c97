import type { Module } from '../../platform/module.ts';
import { orderChecks } from './order.checks.ts';
import { orderJobs } from './order.jobs.ts';
import { orderPrivacy } from './order.privacy.ts';
import { orderRoutes } from './order.routes.ts';
import { openOrderLane } from './order.service.ts';

export type { Address, Customer, Order, OrderLine, OrderShipment, OrderStatus, Parcel, PaymentMethod, SealedAddress, SealedCustomer, Totals } from './order.model.ts';
export { SEALED_ADDRESS, SEALED_CUSTOMER } from './order.model.ts';
export { countImportedOrders } from './order.imported.ts';
export { defaultParcel, type RefusedPlacement } from './order.decide.ts';
export { placeBatch } from './order.place.ts';
export { normalizeOrder, type ImportedFacts, type OrderInput, type OrderRequest } from './order.rules.ts';
export { erasedAddress, erasedCustomer, openOrderNumbers } from './order.privacy.ts';
export { eachOrder, getOrder, getOrders, markOrderPaid, placeOrder, updateOrders, type OrderUpdate } from './order.service.ts';

export const ordersModule: Module = {
  name: 'orders',
  routes: orderRoutes,
  jobs: orderJobs,
  checks: orderChecks,
  customerData: [orderPrivacy],
  start: () => Promise.resolve(openOrderLane()),
};
