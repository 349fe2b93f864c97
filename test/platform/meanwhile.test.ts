import assert from 'node:assert/strict';
import { meanwhile } from '../../src/platform/meanwhile.ts';
import { nextTurn } from '../../src/platform/pause.ts';

describe('work done while a command is on its way', () => {
  const failing = (name: string) => async (): Promise<never> => {
    await nextTurn();
    throw new Error(name);
  };

  it('begins after the command has left, and answers both', async () => {
    const order: string[] = [];
    const send = async (): Promise<number> => {
      await Promise.resolve();
      order.push('sent');
      return 1;
    };
    assert.deepEqual(await meanwhile(send(), () => order.push('worked')), [1, 2]);
    assert.deepEqual(order, ['sent', 'worked']);
  });

  it('throws the fault of the command before one of the work, when both have ended', async () => {
    let ended = false;
    const slow = async (): Promise<void> => {
      await nextTurn();
      await nextTurn();
      ended = true;
      throw new Error('made nothing');
    };
    await assert.rejects(meanwhile(failing('command')(), slow), /command/);
    assert.ok(ended);
    await assert.rejects(meanwhile(Promise.resolve(1), slow), /made nothing/);
    await assert.rejects(
      meanwhile(Promise.resolve(1), () => {
        throw new Error('at once');
      }),
      /at once/,
    );
  });
});
