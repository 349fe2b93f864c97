import type { Module } from '../../platform/module.ts';
import { onSecurityEvent } from './alert.jobs.ts';

export const alertsModule: Module = { name: 'alerts', subscribers: [onSecurityEvent] };
