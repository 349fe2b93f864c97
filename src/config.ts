import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import Joi from 'joi';
import { GENERATED_SECRETS, HEX_KEY, developmentSecrets, errorCode, isP256, isSample, parseKeys } from './config.secrets.ts';

/** Where a value came from; `file` is a `NAME_FILE` variable, `generated` a development secret kept under DATA_DIR. */
export type ConfigSource = 'default' | 'env' | 'file' | 'generated';

/** A start that must not happen; `problems` holds every fault found, one sentence each, and never a secret's value. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: string[]) {
    super(`The configuration has ${problems.length} problem(s):\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

type Env = Readonly<Record<string, string | undefined>>;
type SecretKind = 'text' | 'hex' | 'keys' | 'pem' | 'provider' | 'url';

interface Setting<T> {
  readonly schema: Joi.Schema;
  /** Only for the type: what the parsed setting is. */
  readonly type?: T;
  readonly secret?: SecretKind;
  readonly inProduction?: { readonly required?: true; readonly refused?: readonly T[]; readonly default?: T };
}
type Production<T> = Setting<T>['inProduction'];

/** An integer setting; counts and times start at 1 unless `min` says 0, so that tests can shorten everything. */
function whole(fallback: number, max = 1_000_000_000, min = 1): Setting<number> {
  return { schema: Joi.number().integer().min(min).max(max).default(fallback) };
}

function onOff(fallback: boolean, inProduction?: Production<boolean>): Setting<boolean> {
  return { schema: Joi.boolean().truthy('on').falsy('off').default(fallback), inProduction };
}

function oneOf<const T extends string>(values: readonly T[], fallback: NoInfer<T>): Setting<T> {
  return { schema: Joi.string().valid(...values).default(fallback) };
}

function text(fallback: string): Setting<string> {
  return { schema: Joi.string().max(2_000).default(fallback) };
}

function optional(schema: Joi.StringSchema = Joi.string().max(2_000)): Setting<string | undefined> {
  return { schema };
}

function secret(kind: SecretKind, inProduction?: Production<string | undefined>): Setting<string | undefined> {
  return { schema: SECRET_SCHEMAS[kind], secret: kind, inProduction };
}

const SECRET_SCHEMAS: Record<SecretKind, Joi.StringSchema> = {
  text: Joi.string().min(32).max(4_096),
  hex: Joi.string().pattern(HEX_KEY, '64 hex characters'),
  keys: Joi.string().pattern(/^[\w-]{1,32}:[0-9a-f]{64}(,[\w-]{1,32}:[0-9a-f]{64})*$/i, 'id:hex,id:hex'),
  pem: Joi.string().pattern(/^-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'a PEM private key'),
  provider: Joi.string().max(4_096),
  url: Joi.string().uri(),
};

/** Every setting; the variable's name is the key in upper snake case (`jobLeaseMs` is `JOB_LEASE_MS`). */
const SETTINGS = {
  nodeEnv: oneOf(['development', 'production', 'test'], 'development'),
  role: oneOf(['api', 'worker', 'both'], 'both'),
  host: text('127.0.0.1'),
  port: whole(3000, 65_535, 0),
  publicUrl: optional(Joi.string().uri({ scheme: ['http', 'https'] })),
  portalUrl: optional(Joi.string().uri({ scheme: ['http', 'https'] })),
  trustProxy: whole(0, 20, 0),
  corsOrigins: text(''),
  bodyMaxBytes: whole(1_048_576),
  requestTimeoutMs: whole(30_000),
  shutdownGraceMs: whole(15_000),
  logLevel: oneOf(['error', 'warn', 'info', 'debug'], 'info'),
  metricsToken: secret('text'),
  docsPublic: onOff(true, { default: false }),

  mongodbUri: secret('url', { required: true }),
  mongodBinary: optional(),
  dakiyaCacheDir: optional(),
  mongoPoolSize: whole(50, 10_000),
  slowQueryMs: whole(1_000),
  transactionDeadlineMs: whole(5_000),
  redisUrl: secret('url'),
  dataDir: text('.data'),
  seedDemo: onOff(true, { default: false, refused: [true] }),
  demoPassword: { ...secret('provider'), schema: Joi.string().min(8).max(128) },
  demoWalletCreditPaise: whole(5_000_000, 100_000_000_000, 0),

  encryptionKey: secret('hex'),
  encryptionKeys: secret('keys'),
  blindIndexKey: secret('hex', { required: true }),
  tokenPepper: secret('text', { required: true }),
  cookieSecret: secret('text', { required: true }),
  jwtPrivateKey: secret('pem'),
  jwtSecret: secret('text'),
  legacyEncryptionSecret: secret('provider'),
  migrationLeaseMs: whole(15_000, 30_000),
  migrationBatchRows: whole(500, 2_000),
  paymentProvider: oneOf(['sandbox', 'razorpay'], 'sandbox'),
  razorpayKeyId: optional(),
  razorpayKeySecret: secret('provider'),
  razorpayWebhookSecret: secret('text', { required: true }),

  googleClientId: optional(),
  googleClientSecret: secret('provider'),
  googleIssuer: { schema: Joi.string().uri({ scheme: ['https', 'http'] }).default('https://accounts.google.com') } as Setting<string>,
  googleTimeoutMs: whole(5_000),

  rateLimits: onOff(true, { refused: [false] }),
  rateLimitApiPerMinute: whole(100),
  rateLimitWritePerMinute: whole(30),
  rateLimitPublicPerMinute: whole(60),
  rateLimitScansPerMinute: whole(6_000),
  rateLimitSensitivePerHour: whole(10),
  rateLimitRegisterPerHour: { ...whole(300), inProduction: { default: 20 } },
  rateLimitCompanyFactor: whole(10, 1_000),
  rateLimitAddressFactor: whole(20, 1_000),
  rateLimitAuthFailures: whole(5),
  rateLimitAuthWindowSeconds: whole(900),
  rateLimitBlockAfter: whole(30),
  rateLimitBlockWindowSeconds: whole(600),
  rateLimitBlockSeconds: whole(3_600),
  lockoutSeconds: whole(900),
  signInDelayMs: whole(100, 10_000, 0),
  freshSignInSeconds: whole(600),
  sessionMax: whole(3, 100),
  sessionIdleSeconds: whole(1_209_600),
  sessionAbsoluteSeconds: whole(5_184_000),
  accessTokenSeconds: whole(600, 86_400),
  verifyTokenSeconds: whole(86_400),
  resetTokenSeconds: whole(1_800, 1_800),
  emailChangeSeconds: whole(3_600, 86_400),
  invitationSeconds: whole(604_800),
  idempotencyTtlSeconds: whole(86_400),

  retentionAuditDays: whole(2_920, 36_500, 0),
  retentionSecurityEventsDays: whole(730, 36_500, 0),
  retentionMailLogDays: whole(365, 36_500, 0),
  retentionImportFaultsDays: whole(90, 36_500, 0),
  retentionSessionTracesDays: whole(90, 36_500, 0),
  companyErasureDays: whole(7, 365, 0),
  retentionOutboxDays: whole(7, 3_650),
  retentionRawEventsDays: whole(30, 3_650),

  lanes: onOff(true),
  laneCount: whole(1, 64),
  laneMaxBatch: whole(64, 1_000),
  laneMaxQueue: whole(5_000, 1_000_000),

  jobLeaseMs: whole(30_000),
  jobPollMs: whole(500),
  jobConcurrency: whole(8, 1_000),
  jobBackoffBaseMs: whole(1_000),
  outboxPollMs: whole(200),
  auditChainPollMs: whole(1_000),
  trackingPollSeconds: whole(900),
  webhookRetryBaseMs: whole(5_000),
  webhookAllowPrivate: onOff(false, { refused: [true] }),
  smtpUrl: secret('url'),
  mailFrom: text('Dakiya <no-reply@dakiya.test>'),

  defaultParcelGrams: whole(500, 1_000_000),
  defaultParcelLengthMm: whole(200, 10_000),
  defaultParcelBreadthMm: whole(150, 10_000),
  defaultParcelHeightMm: whole(50, 10_000),
  platformGstState: { schema: Joi.string().pattern(/^\d{2}$/, 'two digits').default('07') } as Setting<string>,
  ewaybillLimitPaise: whole(5_000_000, 1_000_000_000_000),
  maxLineQuantity: whole(100, 1_000_000),
  orderPaymentSeconds: whole(1_800),
  quoteTtlSeconds: whole(86_400),
  cartTtlSeconds: whole(604_800),
  awbBlockSize: whole(200, 100_000),
  kycProvider: { ...oneOf(['sandbox', 'none'], 'sandbox'), inProduction: { default: 'none', refused: ['sandbox'] } } as Setting<'sandbox' | 'none'>,
  kycProviderTimeoutMs: whole(10_000),
  kycExpiryDays: whole(730, 36_500, 0),
  kycDocumentMaxBytes: whole(5_242_880, 52_428_800),
  kycKeepAadhaarFor: text(''),
  fileStorage: oneOf(['gridfs'], 'gridfs'),
  clamavUrl: optional(Joi.string().uri({ scheme: ['tcp'] })),
  clamavTimeoutMs: whole(10_000),
  importMaxBytes: whole(52_428_800, 1_073_741_824),
  importAllOrNothingMaxOrders: whole(10_000, 100_000),
};

type Settings = typeof SETTINGS;
type SettingName = keyof Settings;

/** The parsed configuration: frozen, handed to those who need it, never imported. Units are in the names. */
export type Config = Readonly<{ [K in SettingName]: Settings[K] extends Setting<infer T> ? T : never }>;

interface Origin {
  sources: Partial<Record<SettingName, ConfigSource>>;
  notices: string[];
}
const origins = new WeakMap<Config, Origin>();
const names = Object.keys(SETTINGS) as SettingName[];
const setting = (name: SettingName): Setting<unknown> => SETTINGS[name];

/** The environment variable of a setting: `rateLimitApiPerMinute` is `RATE_LIMIT_API_PER_MINUTE`. */
export function variableName(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

const SCHEMA = Joi.object(Object.fromEntries(names.map((name) => [variableName(name), setting(name).schema])));

/**
 * Reads and checks every setting; variables that no setting names are ignored, empty ones count as absent.
 * In development and tests missing secrets are generated once and kept in `DATA_DIR/secrets.json`.
 * Throws a ConfigError that lists all problems at once.
 */
export async function loadConfig(env: Env = process.env): Promise<Config> {
  const problems: string[] = [];
  const origin: Origin = { sources: {}, notices: [] };
  const raw = await readRaw(env, origin, problems);
  const production = raw['NODE_ENV'] === 'production';
  const parsed = SCHEMA.validate(raw, { abortEarly: false, convert: true, errors: { wrap: { label: false } } });
  for (const fault of parsed.error?.details ?? []) problems.push(faultText(fault));
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const value: unknown = parsed.value[variableName(name)];
    const fallback = setting(name).inProduction?.default;
    values[name] = production && origin.sources[name] === undefined && fallback !== undefined ? fallback : value;
  }
  problems.push(...pairProblems(values));
  if (production) problems.push(...productionProblems(values));
  else if (problems.length === 0) await addGeneratedSecrets(values, origin, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  const config = Object.freeze(values) as Config;
  origins.set(config, origin);
  return config;
}

/** What the start has to tell the person at the terminal: today only that secrets were generated, and where. */
export function configNotices(config: Config): readonly string[] {
  return origins.get(config)?.notices ?? [];
}

/** One row per setting for `config print`: secrets are masked, of an address only user and password. */
export function describeConfig(config: Config): { name: string; value: string; source: ConfigSource }[] {
  const sources = origins.get(config)?.sources ?? {};
  return names.map((name) => ({
    name: variableName(name),
    value: shown(config[name], setting(name).secret),
    source: sources[name] ?? 'default',
  }));
}

/** The keys that wrap data keys, the writing one first; `ENCRYPTION_KEY` has the id `k1`. */
export function keyEncryptionKeys(config: Config): { id: string; key: Buffer }[] {
  const listed = parseKeys(config.encryptionKeys);
  if (config.encryptionKey !== undefined && !listed.some(({ id }) => id === 'k1')) {
    listed.push({ id: 'k1', hex: config.encryptionKey });
  }
  return listed.map(({ id, hex }) => ({ id, key: Buffer.from(hex, 'hex') }));
}

async function readRaw(env: Env, origin: Origin, problems: string[]): Promise<Record<string, string>> {
  const raw: Record<string, string> = {};
  for (const name of names) {
    const variable = variableName(name);
    const direct = env[variable] || undefined;
    const path = setting(name).secret === undefined ? undefined : env[`${variable}_FILE`] || undefined;
    if (direct !== undefined && path !== undefined) {
      problems.push(`${variable} and ${variable}_FILE are both set; keep one`);
    } else if (direct !== undefined) {
      raw[variable] = setting(name).secret === 'pem' ? direct.replaceAll('\\n', '\n') : direct;
      origin.sources[name] = 'env';
    } else if (path !== undefined) {
      try {
        raw[variable] = (await readFile(path, 'utf8')).trim();
        origin.sources[name] = 'file';
      } catch (error) {
        problems.push(`${variable}_FILE cannot be read (${errorCode(error)})`);
      }
    }
  }
  return raw;
}

function faultText(fault: Joi.ValidationErrorItem): string {
  const variable = String(fault.path[0]);
  const isSecret = names.some((name) => variableName(name) === variable && setting(name).secret !== undefined);
  if (!isSecret) return fault.message;
  const limit: unknown = fault.context?.['limit'];
  if (fault.type === 'string.min') return `${variable} is too short; it needs at least ${String(limit)} characters`;
  if (fault.type === 'string.max') return `${variable} is too long; it may have at most ${String(limit)} characters`;
  return `${variable} must be ${String(fault.context?.['name'] ?? 'a valid value')}`;
}

function pairProblems(values: Record<string, unknown>): string[] {
  const problems: string[] = [];
  const config = values as Config;
  if (config.jwtPrivateKey !== undefined && config.jwtSecret !== undefined) {
    problems.push('JWT_PRIVATE_KEY and JWT_SECRET are both set; keep one');
  }
  if (config.jwtPrivateKey !== undefined && !isP256(config.jwtPrivateKey)) {
    problems.push('JWT_PRIVATE_KEY must be an unencrypted EC private key on the curve P-256 (for ES256)');
  }
  const keys = parseKeys(config.encryptionKeys);
  if (new Set(keys.map(({ id }) => id)).size < keys.length) problems.push('ENCRYPTION_KEYS names one id twice');
  const first = keys.find(({ id }) => id === 'k1');
  if (first !== undefined && config.encryptionKey !== undefined && !sameHex(first.hex, config.encryptionKey)) {
    problems.push('ENCRYPTION_KEYS has another key under the id k1 than ENCRYPTION_KEY');
  }
  if (config.paymentProvider === 'razorpay') {
    if (config.razorpayKeyId === undefined) problems.push('RAZORPAY_KEY_ID is required with PAYMENT_PROVIDER=razorpay');
    if (config.razorpayKeySecret === undefined) {
      problems.push('RAZORPAY_KEY_SECRET is required with PAYMENT_PROVIDER=razorpay');
    }
  }
  return problems;
}

function sameHex(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

const WHY_REFUSED: Partial<Record<SettingName, string>> = {
  seedDemo: 'SEED_DEMO=on is for development; production refuses it',
  rateLimits: 'RATE_LIMITS=off is for benchmarks; production refuses it',
  kycProvider: 'KYC_PROVIDER=sandbox asks nobody; production refuses it',
  webhookAllowPrivate: 'WEBHOOK_ALLOW_PRIVATE=on is for trying webhooks on one machine; production refuses it',
};

function productionProblems(values: Record<string, unknown>): string[] {
  const config = values as Config;
  const problems: string[] = [];
  for (const name of names) {
    const { secret: kind, inProduction } = setting(name);
    const value = config[name];
    if (inProduction?.required === true && value === undefined) problems.push(missing(name));
    if (inProduction?.refused?.includes(value) === true) problems.push(WHY_REFUSED[name] ?? `${variableName(name)} is refused`);
    const checked = kind === 'text' || kind === 'hex' || kind === 'keys';
    if (checked && typeof value === 'string' && isSample(value)) {
      problems.push(`${variableName(name)} looks like a sample value; generate a random one`);
    }
  }
  if (config.encryptionKey === undefined && config.encryptionKeys === undefined) problems.push(missing('encryptionKey'));
  if (config.jwtPrivateKey === undefined && config.jwtSecret === undefined) {
    problems.push('JWT_PRIVATE_KEY or JWT_SECRET is required in production');
  }
  if (config.demoPassword !== undefined) problems.push('DEMO_PASSWORD is for development; production refuses it');
  return problems;
}

function missing(name: SettingName): string {
  const why = name === 'mongodbUri' ? '; the embedded database is for development' : '';
  return `${variableName(name)} is required in production${why}`;
}

async function addGeneratedSecrets(values: Record<string, unknown>, origin: Origin, problems: string[]): Promise<void> {
  const needed = names.filter((name) => {
    if (name === 'jwtPrivateKey' && values['jwtSecret'] !== undefined) return false;
    if (name === 'encryptionKey' && values['encryptionKeys'] !== undefined) return false;
    return values[name] === undefined && GENERATED_SECRETS.has(variableName(name));
  });
  if (needed.length === 0) return;
  const path = join(resolve(String(values['dataDir'])), 'secrets.json');
  try {
    const kept = await developmentSecrets(path);
    for (const name of needed) {
      values[name] = kept.secrets[variableName(name)];
      origin.sources[name] = 'generated';
    }
    if (kept.born) {
      origin.notices.push(`Generated development secrets in ${path} (mode 0600). Production needs its own; see .env.example`);
    }
  } catch (error) {
    problems.push(
      error instanceof SyntaxError
        ? `${path} is damaged; restore it, or delete it together with the development data that it opens`
        : `development secrets cannot be kept in ${path} (${errorCode(error)}); set DATA_DIR to a writable directory`,
    );
  }
}

function shown(value: unknown, kind: SecretKind | undefined): string {
  if (value === undefined) return '(not set)';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  const plain = String(value);
  if (kind === undefined) return plain;
  if (kind === 'url') return plain.replace(/\/\/[^/]*@/, '//***@');
  return '***';
}
