import type { FileAnswer } from '../../platform/route.ts';
import type { Tracked } from './tracking.service.ts';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text as it may stand in a page, in an element or a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

const indianTime = new Intl.DateTimeFormat('en-IN', { timeZone: 'Asia/Kolkata', dateStyle: 'medium', timeStyle: 'short' });

function words(status: string): string {
  const text = status.replaceAll('_', ' ').replace('rto', 'return');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The page that a buyer sees: where the parcel is and where it was, nothing about people. */
export function trackingPage({ shipment, tracking }: Tracked): FileAnswer {
  const events = tracking.events
    .filter((event) => event.status !== 'unmapped' && !event.future)
    .reverse()
    .map(({ status, occurredAt, location }) => {
      const place = location === undefined ? '' : `<span>${escapeHtml(location)}</span>`;
      return `<li><strong>${escapeHtml(words(status))}</strong><time datetime="${occurredAt.toISOString()}">${escapeHtml(indianTime.format(occurredAt))} IST</time>${place}</li>`;
    });
  return page(`Parcel ${shipment.awb ?? ''}`, `Parcel ${shipment.awb ?? ''} with ${shipment.courier}`, `<p class="status">${escapeHtml(words(tracking.status))}</p>
<ol>
${events.join('\n') || '<li>No movement yet</li>'}
</ol>`);
}

/** What a buyer sees for a number that no parcel has; the number itself is not repeated. */
export function unknownParcelPage(): FileAnswer {
  const advice = 'Look at the number once more: it stands on the label and in the message of the shop. A new parcel may take some hours to be known here.';
  return { ...page('Parcel not found', 'Parcel tracking', `<p class="status">No parcel has this number</p>\n<p>${advice}</p>`), status: 404 };
}

/** `main` is HTML, the rest text. */
function page(title: string, heading: string, main: string): FileAnswer {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 40rem; padding: 1.5rem; color: #1c1c1e; background: #fff; }
h1 { font-size: 1.1rem; font-weight: 500; color: #555; margin: 0; }
p.status { font-size: 2rem; font-weight: 600; margin: 0 0 1.5rem; }
ol { list-style: none; margin: 0; padding: 0 0 0 1.25rem; border-left: 2px solid #d0d4da; }
li { margin: 0 0 1rem; display: grid; }
time, span { color: #555; font-size: .9rem; }
@media (prefers-color-scheme: dark) { body { color: #f2f2f4; background: #111; } h1, time, span { color: #aaa; } }
</style>
</head>
<body>
<main>
<h1>${escapeHtml(heading)}</h1>
${main}
</main>
</body>
</html>
`;
  return { contentType: 'text/html; charset=utf-8', filename: 'track.html', content: Buffer.from(html), inline: true };
}
