import type { Identity } from './auth.ts';
import { nowMs } from './clock.ts';
import { forbidden } from './errors.ts';
import { addressKey, type LimitStore } from './rate-limit.ts';
import { runtime } from './runtime.ts';

/** Why an address is kept out, and until when. */
export interface AddressBlock {
  readonly automatic: boolean;
  readonly untilMs: number;
}

/** The blocks that hold, answered from memory, and how to add one; keys are those of `addressKey`. */
export interface AddressBlocks {
  find(key: string): AddressBlock | undefined;
  /** Blocks for RATE_LIMIT_BLOCK_SECONDS; does nothing when the address is blocked. */
  add(key: string, requestId: string): Promise<void>;
}

export interface AddressGate {
  /** Throws 403 `address_blocked`. */
  admit(address: string, identity: Identity | undefined): void;
  /** Counts a 429 of a call that nobody had signed; too many of them block its address. */
  refused(address: string, requestId: string): Promise<void>;
}

export interface AddressGateOptions {
  blocks: AddressBlocks;
  store: LimitStore;
  /** False: nothing is blocked automatically. */
  automatic: boolean;
  after: number;
  windowMs: number;
}

/**
 * Keeps blocked addresses out. An automatic block refuses calls without sign-in only, for a whole office may share one
 * address; a block by our staff refuses all calls but those of staff who may lift it, so nobody locks himself out.
 */
export function makeAddressGate({ blocks, store, automatic, after, windowMs }: AddressGateOptions): AddressGate {
  return {
    admit(address, identity) {
      const block = blocks.find(addressKey(address));
      if (!block || (identity && (block.automatic || identity.actor.permissions.has('admin:addresses')))) return;
      const retryAfterSeconds = Math.ceil((block.untilMs - nowMs()) / 1_000);
      throw forbidden('address_blocked', 'Calls from this address are blocked for a time', { retryAfterSeconds });
    },
    async refused(address, requestId) {
      const key = addressKey(address);
      if (!automatic || isLoopback(key)) return;
      const { used } = await store.hit(`block|a|${key}`, windowMs, 1);
      if (used < after) return;
      // The refusal stays what it was, whatever becomes of the block; the next one tries again.
      await blocks.add(key, requestId).catch((error: unknown) => runtime().log.error('address.not_blocked', { error }));
    },
  };
}

/** True for this machine itself: who calls from there is a developer, or a proxy that speaks for everybody. */
export function isLoopback(key: string): boolean {
  return key.startsWith('127.') || key === addressKey('::1');
}
