import { strict as assert } from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fontsFor } from '../../src/modules/shipments/papers/fonts.ts';
import { renderLabel, renderLabels } from '../../src/modules/shipments/papers/label.ts';
import { renderManifest } from '../../src/modules/shipments/papers/manifest.ts';
import type { LabelView, ManifestView } from '../../src/modules/shipments/papers/paper.views.ts';
import { closePaperWorkers, renderInWorker } from '../../src/modules/shipments/papers/paper-worker.ts';
import { cleanText, splitRuns } from '../../src/modules/shipments/papers/text.ts';
import { needs, pdfText } from '../support/papers.ts';

const BOOKED_AT = new Date('2026-11-07T19:12:00Z');

function labelView(changes: Partial<LabelView> = {}): LabelView {
  return {
    awb: '143455210101004',
    courier: 'Hill Couriers',
    service: 'Surface Express',
    sortCode: 'CCU/SLK-04',
    payment: { mode: 'cod', codPaise: 123_400 },
    consignee: {
      name: 'Ishaan Das',
      phone: '+91 98008 06360',
      lines: ['Flat 242, Tower D', 'Action Area II'],
      city: '24 Paraganas South',
      state: 'West Bengal',
      pincode: '700140',
    },
    orderNumber: '#1001',
    bookedAt: BOOKED_AT,
    weightGrams: 1250,
    sizeMm: { lengthMm: 300, widthMm: 205, heightMm: 100 },
    valuePaise: 249_900,
    items: [{ name: 'Bamboo Toothbrush ×6', sku: 'BAM-6', quantity: 2 }],
    seller: { name: 'Demo Traders', gstin: '27AAPFU0939F1ZV' },
    invoice: { number: 'DT/26-27/000481', issuedAt: BOOKED_AT },
    returnAddress: {
      name: 'Demo Warehouse',
      phone: '+91 22 4000 1234',
      lines: ['Gala 14, Kalher'],
      city: 'Thane',
      state: 'Maharashtra',
      pincode: '421302',
    },
    ...changes,
  };
}

function manifestView(rows: number): ManifestView {
  return {
    number: 'MF-20261107-0042',
    courier: 'Hill Couriers',
    seller: { name: 'Demo Traders', gstin: '27AAPFU0939F1ZV' },
    pickup: labelView().returnAddress,
    createdAt: BOOKED_AT,
    rows: Array.from({ length: rows }, (_, index) => ({
      awb: `AWB${100_000 + index}`,
      orderNumber: `#${1001 + index}`,
      consigneeName: index % 2 ? 'अनिल Khan' : 'Ishaan Das',
      city: 'Lucknow',
      pincode: '226001',
      payment: index % 2 ? { mode: 'cod', codPaise: 100_000 } : { mode: 'prepaid' },
      weightGrams: 500,
    })),
  };
}

function withName(name: string): LabelView {
  const view = labelView();
  return { ...view, consignee: { ...view.consignee, name, lines: [name], city: name } };
}

describe('papers', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'papers-'));
  });
  after(async () => {
    await closePaperWorkers();
    rmSync(folder, { recursive: true });
  });

  function fileOf(pdf: Buffer): string {
    const path = join(folder, 'paper.pdf');
    writeFileSync(path, pdf);
    return path;
  }

  function pagesOf(pdf: Buffer): number {
    return (pdf.toString('latin1').match(/\/Type \/Page\n/g) ?? []).length;
  }

  /** Every word of the PDF as a box in points. */
  function boxesOf(pdf: Buffer): Array<{ left: number; top: number; right: number; bottom: number; text: string }> {
    const html = execFileSync('pdftotext', ['-bbox', fileOf(pdf), '-'], { encoding: 'utf8' });
    const words = html.matchAll(/<word xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)">(.*?)<\/word>/g);
    return [...words].map(([, left, top, right, bottom, text]) => ({
      left: Number(left),
      top: Number(top),
      right: Number(right),
      bottom: Number(bottom),
      text: text ?? '',
    }));
  }

  describe('label', () => {
    const awbs = ['143455210101004', '7D1234567890', 'EE123456789IN', 'A', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567891234'];
    for (const awb of awbs) {
      it(`carries ${awb} as a barcode that a scanner reads, thermal and A4`, async function () {
        needs(this, 'pdftoppm', 'zbarimg');
        for (const layout of ['thermal', 'a4'] as const) {
          const path = fileOf(await renderLabels([labelView({ awb })], { layout }));
          execFileSync('pdftoppm', ['-r', '203', '-gray', path, join(folder, 'page')]);
          const image = join(folder, 'page-1.pgm');
          const read = spawnSync('zbarimg', ['-q', '--raw', '--nodbus', image], { encoding: 'utf8' });
          assert.equal(read.stdout.trim(), awb, layout);
        }
      });
    }

    for (const awb of ['', 'with space', 'नहीं', 'X'.repeat(41)]) {
      it(`refuses the AWB "${awb.slice(0, 12)}", which no barcode can hold`, async () => {
        await assert.rejects(renderLabel(labelView({ awb })), { code: 'awb_not_printable' });
      });
    }

    it('shows all that the courier, the merchant and the law ask for', async function () {
      needs(this, 'pdftotext');
      const text = pdfText(await renderLabel(labelView()));
      const expected = [
        '143455210101004', 'Hill Couriers', 'Surface Express', 'CCU/SLK-04', 'COD', 'Rs 1,234.00', 'Ishaan Das',
        '+91 98008 06360', 'Flat 242, Tower D, Action Area II', '24 Paraganas South', 'West Bengal', '700140', '#1001',
        '1.25 kg', '30 × 20.5 × 10 cm', 'Bamboo Toothbrush ×6', 'BAM-6', 'Demo Traders', '27AAPFU0939F1ZV',
        'DT/26-27/000481', 'Demo Warehouse', 'Gala 14, Kalher', 'Thane, Maharashtra 421302', 'Rs 2,499.00',
      ];
      for (const part of expected) assert.ok(text.includes(part), `${part} is missing in\n${text}`);
      assert.ok(text.includes('08 Nov 2026'), 'the day is the Indian one');
      assert.ok(!text.includes('PREPAID'));
    });

    it('never names an amount to collect on a prepaid label', async function () {
      needs(this, 'pdftotext');
      const text = pdfText(await renderLabel(labelView({ payment: { mode: 'prepaid' }, valuePaise: undefined })));
      assert.ok(text.includes('PREPAID'));
      assert.ok(!/\bCOD\b/.test(text) && !text.includes('Rs '));
    });

    it('counts the items that do not fit', async function () {
      needs(this, 'pdftotext');
      const items = Array.from({ length: 200 }, (_, index) => ({ name: `Item ${index}`, quantity: 2 }));
      const text = pdfText(await renderLabel(labelView({ items })));
      assert.match(text, /Item 2 +2\n/);
      assert.match(text, /\+ 197 more +394/);
      assert.ok(!text.includes('Item 3'));
    });

    it('keeps every word inside the frame and off the others, however long the texts are', async function () {
      needs(this, 'pdftotext');
      const long = 'Wide Words and more '.repeat(500);
      const address = { name: long, phone: '9'.repeat(500), lines: [long, 'W'.repeat(10_000)], city: long, state: long };
      const pdf = await renderLabel(
        labelView({
          awb: 'W'.repeat(40),
          courier: long,
          service: 'W'.repeat(10_000),
          sortCode: long,
          payment: { mode: 'cod', codPaise: Number.MAX_SAFE_INTEGER },
          consignee: { ...address, pincode: '1'.repeat(100) },
          orderNumber: long,
          weightGrams: 999_999_999,
          valuePaise: Number.MAX_SAFE_INTEGER,
          items: Array.from({ length: 200 }, () => ({ name: long, sku: 'W'.repeat(999), quantity: 999_999 })),
          seller: { name: long, gstin: 'W'.repeat(500) },
          invoice: { number: 'W'.repeat(500), issuedAt: BOOKED_AT },
          returnAddress: { ...address, pincode: '421302' },
        }),
      );
      assert.equal(pagesOf(pdf), 1);
      const boxes = boxesOf(pdf);
      assert.ok(boxes.length > 50 && boxes.some((box) => box.text.endsWith('…')));
      for (const box of boxes) {
        assert.ok(box.left >= 9 && box.right <= 279 && box.top >= 9 && box.bottom <= 423, JSON.stringify(box));
      }
      // pdftotext boxes are as tall as the font's ascent and descent, so neighbours may share the empty rim.
      const rim = 2.5;
      boxes.forEach((a, index) => {
        for (const b of boxes.slice(index + 1)) {
          const apart =
            a.right <= b.left + 0.1 || b.right <= a.left + 0.1 || a.bottom <= b.top + rim || b.bottom <= a.top + rim;
          assert.ok(apart, `${JSON.stringify(a)} overlaps ${JSON.stringify(b)}`);
        }
      });
      assert.ok(boxes.some((box) => box.text === '9,00,71,99,25,47,409.91'), 'the amount to collect is never cut');
    });

    it('gives the same bytes for the same label', async () => {
      const view = withName('अनिल কুমার கவிதா');
      assert.deepEqual(await renderLabel(view), await renderLabel(view));
      assert.notDeepEqual(await renderLabel(view), await renderLabel({ ...view, orderNumber: '#1002' }));
    });

    it('puts one label on a thermal page and four on a sheet', async () => {
      const labels = Array.from({ length: 9 }, (_, index) => labelView({ awb: `AWB${index}` }));
      assert.equal(pagesOf(await renderLabels(labels, { layout: 'thermal' })), 9);
      assert.equal(pagesOf(await renderLabels(labels, { layout: 'a4' })), 3);
      await assert.rejects(renderLabels([], { layout: 'a4' }), { code: 'nothing_to_print' });
    });
  });

  describe('scripts', () => {
    const names: ReadonlyArray<readonly [string, string]> = [
      ['devanagari', 'अनिल श्रीवास्तव क्षत्रिय ज्ञानेश्वर।'],
      ['bengali', 'রিতা চট্টোপাধ্যায় শ্রীমতী।'],
      ['gurmukhi', 'ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ ਢਿੱਲੋਂ'],
      ['gujarati', 'શ્રીમતી જ્યોતિ પટેલ'],
      ['oriya', 'ଶ୍ରୀମତୀ ସୁସ୍ମିତା ପଟ୍ଟନାୟକ'],
      ['tamil', 'கவிதா ஸ்ரீநிவாசன் க்ஷ'],
      ['telugu', 'శ్రీనివాస్ రెడ్డి లక్ష్మి'],
      ['kannada', 'ಶ್ರೀನಿವಾಸ್ ಕೃಷ್ಣಮೂರ್ತಿ'],
      ['malayalam', 'ശ്രീലക്ഷ്മി കൃഷ്ണൻ പുസ്തകം'],
      ['arabic', 'محمد علی خان، گلی ٹھٹھہ'],
    ];
    for (const [script, name] of names) {
      it(`draws ${script} with real glyphs, mixed with Latin and emoji`, async function () {
        const fonts = await fontsFor(name);
        const runs = name.split(' ').flatMap((word) => splitRuns(cleanText(word), fonts));
        assert.ok(runs.every((run) => run.script === script), JSON.stringify(runs));
        for (const run of runs) {
          const font = fonts.get(run.script as never) ?? assert.fail(`no font for ${run.script}`);
          const { glyphs } = font.layout(run.text);
          assert.ok(glyphs.length > 0 && glyphs.every((glyph) => glyph.id !== 0), `${run.text} has a missing glyph`);
        }
        const pdf = await renderLabel(withName(`${name} Rao 🙏 ${name}`));
        assert.match(pdf.toString('latin1'), /\/FontName \/[A-Z]{6}\+NotoSans/);
        needs(this, 'pdftotext');
        const text = pdfText(pdf);
        assert.ok(text.includes('Rao') && !text.includes('?'), text);
      });
    }

    it('embeds no font for a Latin label', async () => {
      assert.ok(!(await renderLabel(withName('O’Brien Žižek — ₹5'))).includes('FontFile'));
    });

    const cleaned: ReadonlyArray<readonly [string, string]> = [
      ['a\u200b\u202e\u2066b\ufeff\u0000c\nd', 'ab c d'],
      ['₹1,234', 'Rs 1,234'],
      ['Zoe\u0308', 'Zoë'],
      ['Łukasz Żółć', 'Lukasz Zólc'],
      ['ｆｕｌｌ', 'full'],
      ['山田 太郎', '? ?'],
      ['gift 🎁👨‍👩‍👧🇮🇳 1️⃣ wrap', 'gift 1 wrap'],
      ['\ud800x\udc00', 'x'],
      ['Z' + '\u0351'.repeat(500), 'Z'],
    ];
    for (const [raw, expected] of cleaned) {
      it(`prints ${JSON.stringify(raw.slice(0, 20))} as ${expected}`, () => {
        const words = cleanText(raw).split(' ').map((word) => splitRuns(word, new Map()));
        const text = words.map((runs) => runs.map((run) => run.text).join('')).filter(Boolean);
        assert.equal(text.join(' '), expected);
      });
    }

    it('survives any mixture of code points', async () => {
      const blocks = [0x20, 0x300, 0x5d0, 0x600, 0x900, 0x980, 0xa00, 0xa80, 0xb00, 0xb80, 0xc00, 0xc80, 0xd00, 0x200b, 0xfe00, 0x1f468];
      let seed = 7;
      const next = (below: number) => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        return Math.floor((seed / 2_147_483_648) * below);
      };
      const labels = Array.from({ length: 60 }, () => {
        const points = Array.from({ length: 60 }, () => (blocks[next(blocks.length)] ?? 0x20) + next(0x80));
        return withName(String.fromCodePoint(...points));
      });
      assert.equal(pagesOf(await renderLabels(labels, { layout: 'thermal' })), 60);
    }).timeout(20_000);
  });

  describe('manifest', () => {
    it('lists each shipment with counts, totals and room for signatures', async function () {
      needs(this, 'pdftotext');
      const text = pdfText(await renderManifest(manifestView(5)));
      const expected = [
        'MF-20261107-0042', 'Hill Couriers', 'Demo Warehouse', 'Thane, Maharashtra 421302', 'GSTIN 27AAPFU0939F1ZV',
        'AWB100000', 'AWB100004', '#1005', 'Lucknow', '226001', 'Prepaid', '1,000.00', '500 g', 'Page 1 of 1',
        '5 shipments, 3 prepaid, 2 COD to collect Rs 2,000.00, total weight 2.5 kg', 'Received by (Hill Couriers)',
      ];
      for (const part of expected) assert.ok(text.includes(part), `${part} is missing in\n${text}`);
    });

    it('never loses or repeats a row and heads every page, whatever the number of rows', async function () {
      needs(this, 'pdftotext');
      for (const rows of [1, 30, 31, 32, 38, 39, 40, 41, 82, 83, 84, 500]) {
        const pdf = await renderManifest(manifestView(rows));
        const text = pdfText(pdf);
        const awbs = text.match(/AWB\d{6}/g) ?? [];
        assert.equal(awbs.length, rows, `${rows} rows`);
        assert.equal(new Set(awbs).size, rows);
        assert.equal(text.match(/Page \d+ of \d+/g)?.length, pagesOf(pdf));
        assert.equal(text.match(/Handed over by/g)?.length, 1);
        assert.ok(boxesOf(pdf).every((box) => box.right <= 567.5 && box.bottom <= 812));
      }
    }).timeout(20_000);

    it('refuses a manifest without shipments', async () => {
      await assert.rejects(renderManifest(manifestView(0)), { code: 'nothing_to_print' });
    });
  });

  describe('worker', () => {
    it('draws the same bytes away from this thread and leaves nothing open', async () => {
      let started = 0;
      const count = () => {
        started += 1;
      };
      process.on('worker', count);
      const views = Array.from({ length: 12 }, (_, index) => ({ ...withName('अनिल'), awb: `AWB${index}` }));
      const jobs = await Promise.all([
        renderInWorker('thermal', views),
        renderInWorker('a4', views),
        renderInWorker('manifests', [manifestView(40)]),
      ]);
      assert.deepEqual(jobs, [
        await renderLabels(views, { layout: 'thermal' }),
        await renderLabels(views, { layout: 'a4' }),
        await renderManifest(manifestView(40)),
      ]);
      await assert.rejects(renderInWorker('thermal', [labelView({ awb: 'no way' })]), { code: 'awb_not_printable', kind: 'invalid' });
      await closePaperWorkers();
      process.off('worker', count);
      assert.ok(started >= 1 && started <= 2, `${started} workers started`);
      assert.ok(!process.getActiveResourcesInfo().includes('MessagePort'));
    }).timeout(20_000);

    it('starts again after it was closed', async () => {
      assert.equal(pagesOf(await renderInWorker('thermal', [labelView()])), 1);
      await closePaperWorkers();
    }).timeout(20_000);
  });

  it('draws every customer name of the sample orders without an unknown letter', async () => {
    const text = readFileSync(new URL('../../data/samples/shopify-orders.csv', import.meta.url), 'utf8');
    const fonts = await fontsFor(text);
    const words = new Set(text.split(/[\s,]+/).map((word) => cleanText(word)));
    assert.ok([...words].some((word) => word.includes('அ') || word.includes('க')));
    for (const word of words) {
      const drawn = splitRuns(word, fonts).map((run) => run.text).join('');
      assert.equal(drawn.includes('?'), word.includes('?'), word);
    }
  });
});
