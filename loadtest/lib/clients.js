// The clients of a run. Secrets are derived from a random seed and the client's name: `setup` hands every VU the seed
// instead of ten thousand secrets.
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import { describeFailure, nothingExecuted, register, remove } from './admin.js';
import { FORMATS, SCENARIOS } from './catalogue.js';
import { config } from './config.js';
import { fail } from './failure.js';

// The name of the resource server: the client that may introspect the tokens of all others.
const RESOURCE_SERVER = 'api';

// Random bytes as base64url text.
export function random(bytes) {
  return encoding.b64encode(crypto.randomBytes(bytes), 'rawurl');
}

export const prefixOf = (runId) => `lt-${runId}-`;
export const audience = (data) => `https://${data.prefix}api.invalid`;

function derive(data, name) {
  const secret = `ltcs_${crypto.hmac('sha256', data.seed, name, 'hex')}`;
  return { id: `${data.prefix}${name}`, secret };
}

// A client of this run by format and number. A run with CLIENT_ID always uses that client.
export function client(data, format, number) {
  if (!config.own) return config.client;
  return { ...derive(data, `${format}-${number}`), format };
}

// Client `n` of all formats in rotation.
export function clientInTurn(data, n) {
  if (!config.own) return config.client;
  const format = config.formats[n % config.formats.length];
  return client(data, format, Math.floor(n / config.formats.length) % config.clients);
}

// Registration fields of dedicated clients, by purpose.
const DEDICATED = {
  limited: () => ({ rate_limits: { token: config.rateLimit.spelled }, rate_limit_mode: 'enforce' }),
  quota: () => ({ quotas: { hour: config.quota }, quota_mode: 'enforce' }),
  victim: () => ({}),
};

// A dedicated client by purpose and number, with its label in metrics. A run with CLIENT_ID always uses that client.
export function dedicatedClient(data, purpose, number) {
  const label = `${purpose}-${number}`;
  if (!config.own) return { ...config.client, label };
  return { ...derive(data, label), format: FORMATS[number % FORMATS.length], label };
}

// The dedicated clients of all scenarios of this run.
function dedicatedClients(data) {
  const purposes = config.names.flatMap((name) => SCENARIOS[name].dedicated ?? []);
  return purposes.flatMap((purpose) =>
    Array.from({ length: config.limited }, (_, n) => ({ purpose, ...dedicatedClient(data, purpose, n) })),
  );
}

// The client that introspects tokens: the resource server, INTROSPECT_CLIENT_ID, or the client itself.
export function introspectionClient(data) {
  return config.own ? derive(data, RESOURCE_SERVER) : (config.introspectionClient ?? config.client);
}

// The client with a wrong secret of the same length.
export function withWrongSecret(data, client, n) {
  return { ...client, secret: `ltcs_${crypto.hmac('sha256', data.seed, `wrong ${n}`, 'hex')}` };
}

// A client that was never registered.
export function unregisteredClient(data, n) {
  return { id: `${data.prefix}nobody-${n % 100}`, secret: `ltcs_${crypto.hmac('sha256', data.seed, `nobody ${n}`, 'hex')}` };
}

function ids(data) {
  const all = [derive(data, RESOURCE_SERVER).id];
  for (const format of config.formats) {
    for (let n = 0; n < config.clients; n += 1) all.push(client(data, format, n).id);
  }
  return [...all, ...dedicatedClients(data).map((one) => one.id)];
}

// Whether a client id without its prefix has the form that load tests generate.
export const isGeneratedName = (name) =>
  new RegExp(`^(${RESOURCE_SERVER}|(${[...FORMATS, ...Object.keys(DEDICATED)].join('|')})-[0-9]+)$`).test(name);

// Registers all clients of a run, and removes them again if one registration fails.
export function registerClients(data) {
  const bodies = [];
  const resourceServer = derive(data, RESOURCE_SERVER);
  bodies.push({ client_id: resourceServer.id, client_secret: resourceServer.secret, introspection_audiences: [audience(data)] });
  const add = ({ id, secret, format }, more) =>
    bodies.push({
      client_id: id,
      client_secret: secret,
      scope: 'read write',
      token_format: format,
      audience: [audience(data)],
      access_token_lifetime: config.lifetime ?? null,
      ...more,
    });
  for (const format of config.formats) {
    for (let n = 0; n < config.clients; n += 1) add(client(data, format, n));
  }
  for (const one of dedicatedClients(data)) add(one, DEDICATED[one.purpose]());
  // run.sh searches the log for this marker: from here on there may be clients to remove.
  console.log('loadtest-clients-registering');
  const failed = register(bodies);
  if (failed !== undefined) {
    if (failed.status === 409) {
      // Clients that existed before the run must not be removed.
      console.log('loadtest-clients-preexisting');
      fail(`RUN_ID ${config.runId} is taken: a client with its prefix is already registered`);
    }
    if (nothingExecuted(failed) || removeClients(data) === undefined) console.log('loadtest-clients-removed');
    fail(`the clients could not be registered: ${describeFailure(failed)}`);
  }
}

// Removes all clients of a run. Returns an error message, or undefined on success.
export function removeClients(data) {
  const failed = remove(ids(data));
  return failed === undefined ? undefined : describeFailure(failed);
}
