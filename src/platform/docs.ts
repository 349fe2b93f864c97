import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import Joi from 'joi';
import { notFound } from './errors.ts';
import { route, type AnyRoute, type FileAnswer } from './route.ts';

const FILES: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Dakiya API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/docs/favicon-32x32.png"><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
`;
const START = `window.SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, displayRequestDuration: true });\n`;

async function asset(name: string): Promise<FileAnswer> {
  if (name === 'start.js') return { contentType: 'text/javascript; charset=utf-8', filename: name, content: Buffer.from(START) };
  const contentType = FILES[name];
  if (contentType === undefined) throw notFound('document');
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  return { contentType, filename: name, content: await readFile(join(folder, name)) };
}

/** /openapi.json, and a page to try it; behind sign-in when `open` is false. */
export function docsRoutes(document: object, open: boolean): AnyRoute[] {
  const bytes = Buffer.from(JSON.stringify(document));
  const common = { method: 'get', permission: open ? 'public' : 'signedIn', limit: 'none' } as const;
  return [
    route({
      ...common,
      path: '/openapi.json',
      summary: 'The contract',
      response: 'application/json',
      handle: () => Promise.resolve(bytes),
      view: (content) => ({ contentType: 'application/json; charset=utf-8', filename: 'openapi.json', content, inline: true }),
    }),
    route({
      ...common,
      path: '/docs',
      summary: 'The contract as a page',
      response: 'text/html',
      handle: () => Promise.resolve(Buffer.from(PAGE)),
      view: (content) => ({ contentType: 'text/html; charset=utf-8', filename: 'docs.html', content, inline: true }),
    }),
    route({
      ...common,
      path: '/docs/:name',
      summary: 'Parts of the page',
      params: Joi.object<{ name: string }>({ name: Joi.string().max(60).required() }),
      response: 'application/octet-stream',
      handle: (_ctx, { params }) => asset(params.name),
      view: (file) => ({ ...file, inline: true }),
    }),
  ];
}
