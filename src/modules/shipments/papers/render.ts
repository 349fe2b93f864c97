import { renderLabels } from './label.ts';
import { renderManifests } from './manifest.ts';
import type { LabelView, ManifestView } from './paper.views.ts';

/** What each kind of paper is drawn from. */
export interface PaperViews {
  thermal: LabelView[];
  a4: LabelView[];
  manifests: ManifestView[];
}

export type PaperKind = keyof PaperViews;

/** Draws one kind of paper on the calling thread; refuses what renderLabels and renderManifests refuse. */
export function renderPaper<K extends PaperKind>(kind: K, views: PaperViews[K]): Promise<Buffer> {
  return PAINTERS[kind](views);
}

const PAINTERS: { [K in PaperKind]: (views: PaperViews[K]) => Promise<Buffer> } = {
  thermal: (views) => renderLabels(views, { layout: 'thermal' }),
  a4: (views) => renderLabels(views, { layout: 'a4' }),
  manifests: (views) => renderManifests(views),
};
