import type { Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { conflict, invalidFields, notFound, type AppError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { present } from '../../platform/present.ts';
import { placeOf, type Location } from '../companies/index.ts';
import { awbText, chooseConnection, courierEntry, findCourier, isAwbText, takesAtOnce, type Connection, type CourierEntry, type ShipmentStatus } from '../couriers/index.ts';
import type { Order } from '../orders/index.ts';
import { canHold, insufficientBalance } from '../wallet/index.ts';
import { chooseOption, codAmount, goodsValue, orderEntry, shipmentLines, withEntries } from './booking.rules.ts';
import type { Booking, BookingShelf, ShelfCompany, ShelfOrder } from './booking.shelf.ts';
import { quoteShipment, wishedCourier, type ShipmentOffer } from './shipment.quote.ts';
import type { FrozenQuote, SealedPlace, Shipment } from './shipment.model.ts';
import { bookingRefusal, linesToBook, openLines, type LineQuantity } from './shipment.rules.ts';

/** A booking that the batch accepts. */
export interface DecidedBooking {
  booking: Booking;
  shipment: Shipment & { _id: string };
  order: ShelfOrder;
  /** Set when the number comes from our pool and is drawn just before the transaction. */
  pool?: { courier: string; prefix: string };
}

/**
 * Decides one booking against the shelf and takes its lines and its money off the shelf. Nothing is written. Refusals:
 * 404 order and connection, 403 and 409 of `bookingRefusal`, 409 `order_already_booked`, `not_serviceable`,
 * `option_not_available`, `courier_not_available`, `insufficient_balance`, `shipment_exists`; 400 for the lines and the AWB.
 */
export async function decideBooking(booking: Booking, shelf: BookingShelf): Promise<DecidedBooking> {
  const { ctx, request } = booking;
  const earlier = request.idempotencyKey === undefined ? undefined : shelf.booked.get(`${ctx.companyId}|${request.idempotencyKey}`);
  if (earlier !== undefined) throw shipmentExists(earlier);
  const { order, company } = visible(booking, shelf);
  const location = pickupLocation(order.row, company.locations);
  const refuse = (courier: string): void => {
    const refusal = bookingRefusal({
      orderStatus: order.row.status,
      emailVerified: company.company.emailVerifiedAt !== undefined,
      kycVerified: company.company.kycStatus === 'verified',
      courier,
      hasPickupLocation: location !== undefined,
    });
    if (refusal) throw refusal;
  };
  refuse(wishedCourier(request) ?? 'sandbox');
  if (!location) throw new Error('A booking without a pickup location was refused above');
  const entries = order.entries.map(({ status, lines }) => ({ status: status as ShipmentStatus, lines }));
  const lines = linesToBook(order.row.lines, openLines(order.row.lines, entries), request.lines);
  const facts = { order: order.row, location, lines, codPaise: codAmount(order.row, lines, order.live), parcel: request.parcel ?? order.row.parcel };
  const offers = await quoteShipment(ctx, { ...facts, declaredValuePaise: goodsValue(order.row, lines) });
  const offer = choose(offers, booking, company);
  refuse(offer.courier);
  const connection = chooseFor(booking, company, offer.courier);
  if (!canHold(company, offer.quote.totalPaise)) throw insufficientBalance(company, offer.quote.totalPaise);
  const shipment = newShipment(booking, facts, offer, connection);
  company.availablePaise -= offer.quote.totalPaise;
  order.entries = withEntries(order.entries, [orderEntry(shipment)]);
  order.live = [...order.live, { codPaise: shipment.codPaise, lines }];
  return { booking, shipment, order, pool: poolOf(offer.courier, request.awb) };
}

function visible({ ctx, request }: Booking, shelf: BookingShelf): { order: ShelfOrder; company: ShelfCompany } {
  const order = shelf.orders.get(request.orderId);
  const company = shelf.companies.get(ctx.companyId);
  const limited = ctx.actor.locationIds;
  const foreign = limited && (order?.row.pickupLocationId === undefined || !limited.includes(order.row.pickupLocationId));
  if (!order || !company || order.row.companyId !== ctx.companyId || foreign) throw notFound('order');
  return { order, company };
}

function pickupLocation(order: Row<Order>, locations: readonly Row<Location>[]): Row<Location> | undefined {
  if (order.pickupLocationId === undefined) return locations[0];
  const own = locations.find((location) => location._id === order.pickupLocationId);
  if (!own) throw conflict('location_archived', 'The pickup location of this order is out of use; choose another');
  return own;
}

function choose(offers: { options: ShipmentOffer[]; notServiceable: object[] }, { request }: Booking, company: ShelfCompany): ShipmentOffer {
  const kyc = company.company.kycStatus === 'verified';
  const reachable = (courier: string): boolean => {
    const known = findCourier(courier) !== undefined;
    return known && (courier === 'sandbox' || (kyc && company.connections.some((row) => row.courier === courier)));
  };
  const choice = chooseOption(offers.options, request, reachable);
  if (choice.ok) return { ...choice.option, quote: { ...choice.option.quote, chosen: choice.chosen } };
  if (choice.reason === 'not_offered') {
    throw conflict('option_not_available', 'This option is not offered for this shipment any more; ask for rates again', { optionId: request.optionId });
  }
  const wished = wishedCourier(request);
  if (wished !== undefined && request.awb === undefined) courierEntry(wished);
  throw conflict('not_serviceable', 'No courier takes this shipment; see details.notServiceable', { notServiceable: offers.notServiceable });
}

/** A number that was given outside of us needs no connection and no adapter. */
function chooseFor({ request }: Booking, company: ShelfCompany, courier: string): Row<Connection> | undefined {
  if (request.awb !== undefined && request.connectionId === undefined) return company.connections.find((row) => row.courier === courier);
  if (request.awb === undefined) courierEntry(courier);
  return chooseConnection(company.connections, courier, request.connectionId);
}

function poolOf(courier: string, given: string | undefined): { courier: string; prefix: string } | undefined {
  const entry: CourierEntry | undefined = findCourier(courier);
  return given === undefined && entry?.awbPrefix !== undefined ? { courier, prefix: entry.awbPrefix } : undefined;
}

interface Facts {
  order: Row<Order>;
  location: Row<Location>;
  lines: readonly LineQuantity[];
  codPaise: number;
}

function newShipment({ request }: Booking, { order, location, lines, codPaise }: Facts, offer: ShipmentOffer, connection: Row<Connection> | undefined): Shipment & { _id: string } {
  const awb = request.awb === undefined ? undefined : givenAwb(request.awb);
  const quote: FrozenQuote = offer.quote;
  const numbered = awb !== undefined || poolOf(offer.courier, request.awb) !== undefined;
  const ownStatus = numbered ? 'awb_assigned' : 'created';
  return present({
    _id: newId(),
    orderId: order._id,
    orderNumber: order.orderNumber,
    direction: 'forward' as const,
    courier: offer.courier,
    service: offer.service,
    connectionId: connection?._id,
    awb,
    bookingState: awb !== undefined || takesAtOnce(offer.courier, connection) ? ('confirmed' as const) : ('requested' as const),
    idempotencyKey: request.idempotencyKey,
    lines: shipmentLines(order, lines),
    parcel: parcelOf(quote),
    parcelSource: request.parcel ? ('shipment' as const) : order.parcelSource,
    paymentMethod: order.paymentMethod,
    codPaise,
    valuePaise: quote.inputs.declaredValuePaise,
    consignee: order.customer,
    destination: order.shippingAddress,
    pickupLocationId: location._id,
    pickup: pickupPlace(location),
    quote,
    ownStatus,
    status: ownStatus,
    history: [],
    scanCount: 0,
    unmapped: 0,
    alerts: [],
    attempts: 0,
    ndr: [],
    codDue: false,
    rtoCharged: false,
  } satisfies Shipment & { _id: string });
}

function givenAwb(text: string): string {
  const awb = awbText(text);
  if (!isAwbText(awb)) throw invalidFields([{ path: 'awb', message: 'must be 5 to 40 letters and digits' }]);
  return awb;
}

function parcelOf({ inputs }: FrozenQuote): Shipment['parcel'] {
  const { weightGrams, lengthMm, breadthMm, heightMm } = inputs;
  return { weightGrams, lengthMm, breadthMm, heightMm };
}

/** A batch books many parcels from one location: it is opened once. */
const opened = new WeakMap<Row<Location>, SealedPlace>();

/** The pickup address as it is today: a label shows where the parcel was picked up, also after the location moves. */
function pickupPlace(location: Row<Location>): SealedPlace {
  const known = opened.get(location) ?? seal(placeOf(location));
  opened.set(location, known);
  return known;
}

/** 409 naming the shipment that the same key has booked before. */
export function shipmentExists(id: string): AppError {
  return conflict('shipment_exists', 'This Idempotency-Key has booked a shipment before', { id });
}
