import type { Identity } from './auth.ts';
import { nowMs } from './clock.ts';
import { forbidden } from './errors.ts';
import { addressKey, isLoopback } from './rate-limit.ts';
import { runtime } from './runtime.ts';

/** Why an address is kept out, and until when. */
export interface AddressBlock {
  readonly automatic: boolean;
  readonly untilMs: number;
}

/** The blocks that hold, answered from memory, what leads to them, and how to add one; keys are those of `addressKey`. */
export interface AddressBlocks {
  find(key: string): AddressBlock | undefined;
  /** Counts a refusal, for all processes; answers how many there were within RATE_LIMIT_BLOCK_WINDOW_SECONDS. */
  count(key: string): Promise<number>;
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
  /** False: nothing is blocked automatically. */
  automatic: boolean;
  after: number;
}

/**
 * Keeps blocked addresses out. An automatic block refuses calls without sign-in only, for a whole office may share one
 * address; a block by our staff refuses all calls but those of staff who may lift it, so nobody locks himself out.
 */
export function makeAddressGate({ blocks, automatic, after }: AddressGateOptions): AddressGate {
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
      try {
        if ((await blocks.count(key)) >= after) await blocks.add(key, requestId);
      } catch (error) {
        // The refusal stays what it was, whatever becomes of the block; the next one tries again.
        runtime().log.error('address.not_blocked', { error });
      }
    },
  };
}
