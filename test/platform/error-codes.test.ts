import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { errorCodesIn, errorCodesListed, isListed } from '../../scripts/lib/error-codes.ts';
import { ROLE_PAGE, rolePage } from '../../scripts/lib/role-table.ts';

describe('pages about the API', () => {
  it('list every error code that the source can answer, and none that it cannot', async () => {
    const used = await errorCodesIn('src');
    const listed = errorCodesListed(await readFile('docs/api/README.md', 'utf8'));
    assert.ok(used.length > 100, 'the scan finds the codes');
    for (const known of ['out_of_stock', 'stale_version', 'order_not_found', 'job_not_dead', 'shipment_not_manifestable', 'coupon_expired', 'busy']) {
      assert.ok(used.includes(known), `the scan finds ${known}`);
    }
    const missing = used.filter((code) => !isListed(listed, code));
    assert.deepEqual(missing, [], 'describe these in docs/api/README.md');
    const gone = listed.codes.filter((code) => !used.includes(code));
    assert.deepEqual(gone, [], 'no longer used: take them out of docs/api/README.md');
    assert.deepEqual(listed.things.filter((thing) => !used.includes(`${thing}_exists`)), [], 'things that are no more');
    assert.equal(new Set(listed.codes).size, listed.codes.length, 'each code once');
  });

  it('show the roles as permissions.ts has them', async () => {
    assert.equal(await readFile(ROLE_PAGE, 'utf8'), rolePage(), 'run "npm run -s dakiya -- openapi" and commit the page');
  });
});
