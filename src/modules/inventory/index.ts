export type { Movement, MovementKind, Stock } from './stock.model.ts';
export { readStock, releaseStock, reserveStock, returnStock, shipStock, type StockMove, type StockRow } from './stock.service.ts';
