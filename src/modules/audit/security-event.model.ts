import { defineCollection } from '../../platform/db/collection.ts';

export const SEVERITIES = ['info', 'notice', 'warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Every kind of security event, and how grave one is unless its teller says otherwise. */
export const SECURITY_EVENTS = {
  'security.login_failed': 'notice',
  'security.lockout': 'warning',
  'security.unlocked': 'notice',
  'security.new_device': 'notice',
  'security.password_changed': 'notice',
  'security.password_reset': 'notice',
  'security.email_changed': 'notice',
  'security.phone_changed': 'notice',
  'security.mfa_enabled': 'info',
  'security.mfa_disabled': 'warning',
  'security.recovery_key_used': 'warning',
  'security.identity_linked': 'notice',
  'security.identity_unlinked': 'notice',
  'security.refresh_reuse': 'critical',
  'security.sessions_ended': 'info',
  'security.api_key_created': 'notice',
  'security.api_key_rotated': 'notice',
  'security.api_key_revoked': 'notice',
  'security.permission_changed': 'notice',
  'security.user_disabled': 'notice',
  'security.user_enabled': 'info',
  'security.staff_action': 'notice',
  'security.staff_access': 'info',
  'security.bulk_export': 'notice',
  'security.reveal': 'notice',
  'security.address_blocked': 'warning',
  'security.address_unblocked': 'notice',
  'security.forged_token': 'warning',
  'security.upload_refused': 'notice',
  'security.seal_tampered': 'critical',
  'security.audit_tampered': 'critical',
  'security.keys_destroyed': 'warning',
  'security.customer_erased': 'notice',
  'security.company_erased': 'warning',
} as const satisfies Record<string, Severity>;

export type SecurityEventType = keyof typeof SECURITY_EVENTS;
export const SECURITY_EVENT_TYPES = Object.keys(SECURITY_EVENTS) as SecurityEventType[];

/** Small facts beside an event: names, counts and ids, never personal values or secrets. */
export type SecurityDetails = Readonly<Record<string, string | number | boolean>>;

/** Something that matters for the safety of a company or of the service, kept apart from the audit log of changes. */
export interface SecurityEvent {
  type: SecurityEventType;
  severity: Severity;
  actorKind: string;
  actorId: string;
  requestId: string;
  /** Whose account it is about. */
  userId?: string;
  /** Where the request came from. */
  address?: string;
  details?: SecurityDetails;
  /** How many of the same kind this row stands for, when they are gathered. */
  count: number;
  /** When the people concerned were told by mail; set once, so that a repeated delivery mails nobody twice. */
  mailedAt?: Date;
}

export const securityEvents = defineCollection<SecurityEvent>({
  name: 'security_events',
  rowName: 'security_event',
  // The row is itself the record of what happened.
  audited: false,
  fields: {
    type: { type: String, required: true, enum: SECURITY_EVENT_TYPES },
    severity: { type: String, required: true, enum: [...SEVERITIES] },
    actorKind: { type: String, required: true },
    actorId: { type: String, required: true },
    requestId: { type: String, required: true },
    userId: { type: String },
    address: { type: String, maxlength: 100 },
    details: { type: Object },
    count: { type: Number, required: true, min: 1 },
    mailedAt: { type: Date },
  },
  personal: { address: null },
  indexes: [
    { keys: { companyId: 1, type: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, severity: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, userId: 1, createdAt: -1, _id: -1 }, partial: { userId: { $exists: true } } },
    { keys: { createdAt: -1, _id: -1 } },
    { keys: { type: 1, createdAt: -1, _id: -1 } },
    { keys: { severity: 1, createdAt: -1, _id: -1 } },
  ],
});
