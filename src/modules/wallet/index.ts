import type { Module } from '../../platform/module.ts';
import { walletChecks } from './wallet.checks.ts';
import { walletRoutes } from './wallet.routes.ts';

export type { EntryLine } from './wallet.model.ts';
export { canHold, insufficientBalance, type WalletBalance } from './wallet.rules.ts';
export { againOnConflict, eachTopup, entrySums, ownWallet, readWallets } from './wallet.service.ts';
export {
  chargeHolds,
  chargeRto,
  creditWallet,
  holdForShipments,
  noteCodDue,
  openWallet,
  releaseHolds,
  reverseCodDue,
  takeBackTopup,
  type CodDueItem,
  type HoldEndItem,
  type HoldItem,
  type RtoItem,
} from './wallet.steps.ts';

export const walletModule: Module = { name: 'wallet', routes: walletRoutes, checks: walletChecks };
