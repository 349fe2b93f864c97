import { dirname, relative, resolve, sep } from 'node:path';

/** `src/modules/orders/x.ts` → { area: 'modules', module: 'orders', inner: 'x.ts' }. */
function place(root, file) {
  const parts = relative(root, file).split(sep);
  if (parts[0] !== 'src') return { area: parts[0] };
  if (parts[1] === 'modules') return { area: 'modules', module: parts[2], inner: parts.slice(3).join('/') };
  return { area: parts[1], inner: parts.slice(2).join('/') };
}

/** What a file imports or exports from elsewhere, types included, also by `import()`. */
function onImports(report) {
  const check = (node) => {
    if (node.source && typeof node.source.value === 'string') report(node.source, node.source.value);
  };
  return {
    ImportDeclaration: check,
    ExportNamedDeclaration: check,
    ExportAllDeclaration: check,
    ImportExpression: check,
    TSImportType: (node) => check({ source: node.source ?? node.argument?.literal }),
  };
}

/** A module is entered through its index.ts; the platform imports no module and no assembly. */
const moduleBorders = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      door: 'Import the module {{name}} through its index.ts',
      platform: 'The platform knows no module: {{source}}',
      upward: 'A module does not import the assembly: {{source}}',
    },
  },
  create(context) {
    const root = context.cwd;
    const own = place(root, context.filename);
    return onImports((node, source) => {
      if (!source.startsWith('.')) return;
      const target = place(root, resolve(dirname(context.filename), source));
      const assembly = target.area === 'modules.ts' || target.area === 'service.ts' || target.area === 'app.ts' || target.area === 'main.ts';
      if (own.area === 'platform' && (target.area === 'modules' || assembly)) context.report({ node, messageId: 'platform', data: { source } });
      else if (own.area === 'modules' && assembly) context.report({ node, messageId: 'upward', data: { source } });
      else if (target.area === 'modules' && own.area !== 'test' && target.module !== own.module && target.inner !== 'index.ts') {
        context.report({ node, messageId: 'door', data: { name: String(target.module) } });
      }
    });
  },
};

const MONGO_FOLDERS = ['src/platform/db/', 'src/platform/embedded/', 'scripts/migrations/', 'test/', 'bench/'];

/** Only the folders that own the database speak to it. */
const mongoosePlaces = {
  meta: { type: 'problem', schema: [], messages: { place: '{{source}} may be imported in platform/db, platform/embedded, migrations and tests only' } },
  create(context) {
    const file = relative(context.cwd, context.filename).split(sep).join('/');
    if (MONGO_FOLDERS.some((folder) => file.startsWith(folder))) return {};
    return onImports((node, source) => {
      if (/^(?:mongoose|mongodb)(?:\/|$)/.test(source)) context.report({ node, messageId: 'place', data: { source } });
    });
  },
};

function calls(node, name) {
  return node.type === 'CallExpression' && node.callee.type === 'Identifier' && node.callee.name === name;
}

/** The function handed to the nearest `withTransaction` around a node, if there is one. */
function bodyAround(node) {
  for (let at = node.parent; at; at = at.parent) if (at.parent && calls(at.parent, 'withTransaction') && at.parent.arguments[1] === at) return at;
  return undefined;
}

/** The name of the context that a transaction is opened with: `ctx` of `ctx`, and of `inCompany(ctx, id)`. */
function contextName(node) {
  if (node?.type === 'CallExpression') return contextName(node.arguments[0]);
  return node?.type === 'Identifier' ? node.name : undefined;
}

/** The body's parameter shadows the outer context's name, so that the body cannot reach the outer one. */
const transactionBody = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      shadow: 'Name the parameter {{outer}}, as outside: the body must not reach the outer context',
      reach: '{{name}} is a context from outside of the transaction: use the one that the body was given',
      parallel: 'One session runs one command at a time: no Promise.{{name}} inside withTransaction',
      inline: 'Write the body of withTransaction in place, so that its parameter is seen',
    },
  },
  create(context) {
    return {
      CallExpression(node) {
        if (calls(node, 'withTransaction')) {
          const [given, body] = node.arguments;
          if (!given || !body) return;
          if (body.type !== 'ArrowFunctionExpression' && body.type !== 'FunctionExpression') {
            context.report({ node: body, messageId: 'inline' });
            return;
          }
          const outer = contextName(given);
          const [parameter] = body.params;
          const named = parameter?.type === 'Identifier' ? parameter.name : undefined;
          if (outer === undefined || named === outer) return;
          if (mentions(context, body, outer)) context.report({ node: body, messageId: 'reach', data: { name: outer } });
          else if (outer === 'ctx' && named !== undefined) context.report({ node: parameter, messageId: 'shadow', data: { outer } });
          return;
        }
        const { callee } = node;
        const parallel = callee.type === 'MemberExpression' && callee.object.type === 'Identifier' && callee.object.name === 'Promise' && callee.property.type === 'Identifier' && /^(?:all|allSettled|race|any)$/.test(callee.property.name);
        if (parallel && bodyAround(node)) context.report({ node, messageId: 'parallel', data: { name: callee.property.name } });
      },
    };
  },
};

function mentions(context, body, name) {
  const { through } = context.sourceCode.getScope(body);
  return through.some((reference) => reference.identifier.name === name);
}

const messages = { clock: 'Only clock.ts asks for the time: use now() or nowMs()', env: 'Only config.ts reads the environment: take the setting from the configuration' };

/** `Date.now()`, `new Date()` and `Date()` belong to clock.ts. */
const oneClock = {
  meta: { type: 'problem', schema: [], messages },
  create(context) {
    return {
      'MemberExpression[object.name="Date"][property.name="now"]': (node) => context.report({ node, messageId: 'clock' }),
      'NewExpression[callee.name="Date"][arguments.length=0]': (node) => context.report({ node, messageId: 'clock' }),
      'CallExpression[callee.name="Date"]': (node) => context.report({ node, messageId: 'clock' }),
    };
  },
};

/** `process.env` belongs to config.ts. */
const oneEnvironment = {
  meta: { type: 'problem', schema: [], messages },
  create(context) {
    const report = (node) => context.report({ node, messageId: 'env' });
    return {
      'MemberExpression[object.name="process"][property.name="env"]': report,
      'MemberExpression[object.name="process"][property.value="env"]': report,
      'VariableDeclarator[init.name="process"] Property[key.name="env"]': report,
      ...onImports((node, source) => {
        if (/^(?:node:)?process$/.test(source)) report(node);
      }),
    };
  },
};

/** One thing has one name everywhere: no default exports. */
const noDefaultExport = {
  meta: { type: 'problem', schema: [], messages: { named: 'Export by name: one thing has one name everywhere' } },
  create(context) {
    return {
      ExportDefaultDeclaration: (node) => context.report({ node, messageId: 'named' }),
      'ExportSpecifier[exported.name="default"]': (node) => context.report({ node, messageId: 'named' }),
    };
  },
};

/** The rules that hold the architecture, as one plugin. */
export const house = {
  rules: {
    'module-borders': moduleBorders,
    'mongoose-places': mongoosePlaces,
    'transaction-body': transactionBody,
    'one-clock': oneClock,
    'one-environment': oneEnvironment,
    'no-default-export': noDefaultExport,
  },
};
