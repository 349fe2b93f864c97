import { parentPort } from 'node:worker_threads';
import { AppError, type ErrorKind } from '../../../platform/errors.ts';
import { renderPaper, type PaperKind, type PaperViews } from './render.ts';

export interface PaperRequest<K extends PaperKind = PaperKind> {
  kind: K;
  views: PaperViews[K];
}

export type PaperReply =
  | { ready: true }
  | { pdf: Uint8Array }
  | { failure: { message: string; refusal?: { kind: ErrorKind; code: string } } };

const port = parentPort;

async function answer(request: PaperRequest): Promise<PaperReply> {
  try {
    return { pdf: await renderPaper(request.kind, request.views) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const refusal = error instanceof AppError ? { kind: error.kind, code: error.code } : undefined;
    return { failure: { message, refusal } };
  }
}

port?.on('message', (request: PaperRequest) => {
  void answer(request).then((reply) => port.postMessage(reply));
});
port?.postMessage({ ready: true } satisfies PaperReply);
