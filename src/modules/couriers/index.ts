import type { Module } from '../../platform/module.ts';
import { returnAwbs } from './awb.pool.ts';
import { courierRoutes } from './courier.routes.ts';

export type {
  BookAnswer,
  BookRequest,
  CourierAdapter,
  CourierAddress,
  CourierAnswer,
  CourierFailure,
  CourierNdrAction,
  NdrActionRequest,
  ParsedWebhook,
  RawScan,
  WeightReport,
} from './adapter.ts';
export { awbText, isAwbText } from './awb.rules.ts';
export { dropAwbs, takeAwbs, type UsedAwbs } from './awb.pool.ts';
export { WEBHOOK_HEADER } from './connection.rules.ts';
export { callCourier, type CourierAccess } from './courier.calls.ts';
export type { Connection } from './courier.model.ts';
export { courierEntry, findCourier, statusTableOf, type CourierEntry } from './courier.registry.ts';
export { addConnection, chooseConnection, connectionOfWebhook, connectionsOf, courierAccess, takesAtOnce } from './courier.service.ts';
export { genericRawScan, mapGenericEvent, type GenericEvent } from './generic.rules.ts';
export { SANDBOX_COURIER } from './sandbox/sandbox.adapter.ts';
export { datedBack, disorder, DISORDERS, pickScenario, planScenario, playDelaysMs, SCENARIOS, type Disorder, type Scenario } from './sandbox/sandbox.scenario.ts';
export {
  canCancel,
  canManifest,
  canSchedulePickup,
  isCorrection,
  isNdrReason,
  isPickedUpOrLater,
  isRto,
  isRtoDue,
  isShipmentStatus,
  isTerminal,
  TERMINAL_STATUSES,
  manualStatusRefusal,
  ndrActionRefusal,
  NDR_ACTIONS,
  NDR_REASONS,
  SHIPMENT_STATUSES,
  statusRank,
  type NdrAction,
  type NdrReason,
  type ShipmentDirection,
  type ShipmentStatus,
} from './shipment-status.rules.ts';
export { mapCode, type CodeMeaning } from './status-table.rules.ts';

export const couriersModule: Module = { name: 'couriers', routes: courierRoutes, start: () => Promise.resolve(returnAwbs) };
