import type { Module } from '../../platform/module.ts';
import { stockChecks } from './stock.checks.ts';
import { openStockLane } from './stock.commands.service.ts';
import { stockRoutes } from './stock.routes.ts';

export type { Movement, MovementKind, Stock } from './stock.model.ts';
export { adjustStock, receiveStock, transferStock } from './stock.commands.service.ts';
export { reservedByStock } from './stock.queries.service.ts';
export { releaseStock, reserveStock, returnStock, shipStock, stockRows, type StockMove, type StockRow } from './stock.service.ts';

export const inventoryModule: Module = {
  name: 'inventory',
  routes: stockRoutes,
  checks: stockChecks,
  start: () => Promise.resolve(openStockLane()),
};
