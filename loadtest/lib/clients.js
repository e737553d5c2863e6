// The clients of a run. Their secrets are derived, so that ten thousand of them need no room in what k6 hands from `setup`
// to every VU: a random seed and numbers are enough.
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import { reason, refused, register, remove } from './admin.js';
import { FORMATS, SCENARIOS } from './catalogue.js';
import { config } from './config.js';
import { fail } from './failure.js';

// The client that may introspect the tokens of all others.
const API = 'api';

// Random bytes as text.
export function random(bytes) {
  return encoding.b64encode(crypto.randomBytes(bytes), 'rawurl');
}

export const prefixOf = (runId) => `lt-${runId}-`;
export const audience = (data) => `https://${data.prefix}api.invalid`;

function derive(data, name) {
  const secret = `ltcs_${crypto.hmac('sha256', data.seed, name, 'hex')}`;
  return { id: `${data.prefix}${name}`, secret };
}

// A client by format and number, of this run or, in a run for an existing client, always that one.
export function client(data, format, number) {
  if (!config.own) return config.client;
  return { ...derive(data, `${format}-${number}`), format };
}

// The client number `n` of all formats in turn.
export function clientInTurn(data, n) {
  if (!config.own) return config.client;
  const format = config.formats[n % config.formats.length];
  return client(data, format, Math.floor(n / config.formats.length) % config.clients);
}

// What sets clients apart that a scenario has to itself.
const MARKS = {
  limited: () => ({ rate_limits: { token: config.rateLimit.spelled }, rate_limit_mode: 'enforce' }),
  quota: () => ({ quotas: { hour: config.quota }, quota_mode: 'enforce' }),
  victim: () => ({}),
};

// Such a client by number, with what it is called in figures. A run for an existing client has only that one.
export function marked(data, mark, number) {
  const called = `${mark}-${number}`;
  if (!config.own) return { ...config.client, called };
  return { ...derive(data, called), format: FORMATS[number % FORMATS.length], called };
}

// Of all scenarios of this run.
function allMarked(data) {
  const marks = config.names.flatMap((name) => SCENARIOS[name].marked ?? []);
  return marks.flatMap((mark) => Array.from({ length: config.limited }, (_, n) => ({ mark, ...marked(data, mark, n) })));
}

// Who asks about tokens: a resource server, or the client itself.
export function asker(data) {
  return config.own ? derive(data, API) : (config.asker ?? config.client);
}

// The same client with a secret that is as long and not its own.
export function guess(data, client, n) {
  return { ...client, secret: `ltcs_${crypto.hmac('sha256', data.seed, `wrong ${n}`, 'hex')}` };
}

export const impostor = (data, n) => guess(data, clientInTurn(data, n), n);

// A client that was never registered.
export function stranger(data, n) {
  return { id: `${data.prefix}nobody-${n % 100}`, secret: `ltcs_${crypto.hmac('sha256', data.seed, `nobody ${n}`, 'hex')}` };
}

function ids(data) {
  const all = [derive(data, API).id];
  for (const format of config.formats) {
    for (let n = 0; n < config.clients; n += 1) all.push(client(data, format, n).id);
  }
  return [...all, ...allMarked(data).map((one) => one.id)];
}

// What the id of a client of a run is after its prefix.
export const isOurs = (rest) => new RegExp(`^(${API}|(${[...FORMATS, ...Object.keys(MARKS)].join('|')})-[0-9]+)$`).test(rest);

// Registers all clients of a run; removes them again if one cannot be had.
export function create(data) {
  const bodies = [];
  const api = derive(data, API);
  bodies.push({ client_id: api.id, client_secret: api.secret, resource_server: [audience(data)] });
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
  for (const one of allMarked(data)) add(one, MARKS[one.mark]());
  // run.sh looks for these words: from here on there may be something to remove.
  console.log('loadtest-clients-registering');
  const failed = register(bodies);
  if (failed !== undefined) {
    if (failed.status === 409) {
      // What is there already is not this run's to remove.
      console.log('loadtest-clients-not-ours');
      fail(`a client of this name is registered already: choose another RUN_ID than ${config.runId}`);
    }
    if (refused(failed) || removeAll(data) === undefined) console.log('loadtest-clients-removed');
    fail(`the clients could not be registered: ${reason(failed)}`);
  }
}

// Removes all clients of a run. Answers why it could not, or undefined.
export function removeAll(data) {
  const failed = remove(ids(data));
  return failed === undefined ? undefined : reason(failed);
}
