import type { Module } from '../../platform/module.ts';
import { formerChecks } from './former.checks.ts';

export type { Integration } from './former.model.ts';

/** What the data migrations took up from the former product and no other module owns yet. */
export const formerModule: Module = { name: 'former', checks: formerChecks };
