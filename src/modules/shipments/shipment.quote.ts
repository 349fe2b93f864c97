import type { OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { runtime } from '../../platform/runtime.ts';
import type { Location } from '../companies/index.ts';
import type { Order } from '../orders/index.ts';
import { quoteFor } from '../rates/index.ts';
import type { OptionWish } from './booking.rules.ts';
import type { FrozenQuote, Shipment } from './shipment.model.ts';
import type { Parcel } from './shipment.rules.ts';

/** An offer of a courier for one shipment, with the quote to freeze if it is taken. */
export interface ShipmentOffer {
  optionId: string;
  courier: string;
  service: string;
  quote: FrozenQuote;
}

export interface ShipmentFacts {
  order: Row<Order>;
  location: Row<Location>;
  parcel: Parcel;
  codPaise: number;
  declaredValuePaise: number;
}

/** What couriers ask for this shipment, best first, and why others do not take it. Cached cards: no database call. */
export async function quoteShipment(ctx: OutsideTx, facts: ShipmentFacts): Promise<{ options: ShipmentOffer[]; notServiceable: object[] }> {
  const { order, location, parcel, codPaise, declaredValuePaise } = facts;
  const { weightGrams, lengthMm, breadthMm, heightMm } = parcel;
  const inputs: FrozenQuote['inputs'] = {
    originPincode: location.pincode,
    destinationPincode: order.shippingAddress.mask.pincode,
    paymentMethod: order.paymentMethod,
    codPaise,
    declaredValuePaise,
    weightGrams,
    lengthMm,
    breadthMm,
    heightMm,
  };
  const { options, notServiceable } = await quoteFor(ctx, { ...inputs, direction: 'forward' });
  const ranking = options.slice(0, 20).map(({ optionId, totalPaise, estimatedDays, rank }) => ({ optionId, totalPaise, estimatedDays, rank }));
  return {
    options: options.map(({ optionId, courier, service, ...option }) => ({
      optionId,
      courier,
      service,
      quote: {
        optionId,
        rateCardId: option.rateCardId,
        rateCardVersion: option.rateCardVersion,
        zone: option.zone,
        zoneReason: option.zoneReason,
        volumetricGrams: option.volumetricGrams,
        chargeableGrams: option.chargeableGrams,
        taxablePaise: option.taxablePaise,
        totalPaise: option.totalPaise,
        lines: option.lines.map(({ code, amountPaise, why }) => ({ code, amountPaise, why })),
        estimatedDays: option.estimatedDays,
        inputs,
        ranking,
        chosen: 'first_ranked',
        reasons: option.reasons,
      },
    })),
    notServiceable,
  };
}

/** The courier that a wish names, by itself or in its option id. */
export function wishedCourier(wish: OptionWish): string | undefined {
  return wish.optionId === undefined ? wish.courier : wish.optionId.split(':')[0];
}

/** What the way back costs by the card of the frozen quote, and what of the COD fee goes back to the company. */
export async function priceWayBack(ctx: OutsideTx, shipment: Pick<Row<Shipment>, '_id' | 'quote'>): Promise<{ amountPaise: number; refundPaise: number }> {
  const { inputs, rateCardId } = shipment.quote;
  const { options } = await quoteFor(ctx, { ...inputs, direction: 'rto', rateCardId });
  const [option] = options;
  if (!option) {
    runtime().log.error('shipment.rto_without_price', { requestId: ctx.requestId, shipmentId: shipment._id, rateCardId });
    return { amountPaise: 0, refundPaise: 0 };
  }
  const refund = option.lines.find((line) => line.code === 'codRefund');
  return { amountPaise: option.totalPaise, refundPaise: refund ? -refund.amountPaise : 0 };
}
