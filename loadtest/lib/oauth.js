// The server's public endpoints. Each function asks, counts what went wrong, and answers what a caller needs; undefined
// where there was no good answer.
import encoding from 'k6/encoding';
import { Counter } from 'k6/metrics';
import { config } from './config.js';
import { arrived, demand, get, isMeasured, json, parameters, post } from './http.js';

const received = new Counter('tokens_received');

const FORM = 'application/x-www-form-urlencoded';
const GRANT = 'grant_type=client_credentials';
const url = (path) => `${config.baseUrl}${path}`;

// How a token of each format begins.
const BEGINNING = { paseto: 'v4.public.', jwt: 'eyJ', opaque: '' };

// Form-encoded before it is joined (RFC 6749 section 2.3.1): a secret may hold a colon or a percent sign.
function basic(client) {
  return `Basic ${encoding.b64encode(`${encodeURIComponent(client.id)}:${encodeURIComponent(client.secret)}`)}`;
}

function headers(client, type) {
  return { Authorization: basic(client), 'Content-Type': type };
}

// How a client proves who it is at an endpoint: what goes into the headers, and what into the form.
function proof(client, endpoint) {
  const way = config.auth[endpoint];
  if (way === 'basic') return { sent: headers(client, FORM), form: '' };
  const known = `client_id=${encodeURIComponent(client.id)}&client_secret=${encodeURIComponent(client.secret)}`;
  return { sent: { 'Content-Type': FORM }, form: way === 'post' ? `&${known}` : '' };
}

// What a request is called in figures: where it goes, without the host.
const called = (endpoint) => `POST ${config.endpoints[endpoint].replace(/^https?:\/\/[^/]*/, '')}`;

// A request for a token, to be sent alone or with others.
export function tokenRequest(client, status = 200) {
  const { sent, form } = proof(client, 'token');
  return {
    method: 'POST',
    url: config.endpoints.token,
    body: `${GRANT}${config.form.token}${form}`,
    params: parameters('token', called('token'), status, sent),
  };
}

// The token in an answer, with the second at which it expires.
export function tokenIn(response, client) {
  if (!arrived(response, 200)) return undefined;
  const body = json(response);
  if (body === undefined) return undefined;
  const token = body.access_token;
  const good =
    typeof token === 'string' &&
    token.length > 20 &&
    token.startsWith(BEGINNING[client.format] ?? '') &&
    // In whatever case (RFC 6749 section 5.1).
    `${body.token_type}`.toLowerCase() === 'bearer' &&
    body.expires_in > 0;
  if (!demand(good, 'a token response without a token of its format')) return undefined;
  if (isMeasured()) received.add(1);
  return { token, expires: Date.now() / 1000 + body.expires_in, client };
}

export function issue(client) {
  const { url: to, body, params } = tokenRequest(client);
  return tokenIn(post(to, body, params), client);
}

// Asks about a token and checks the answer. `expected` is the client whose active token it is, or null if it must not be
// active; `what` is what the answer is called that says otherwise. Answers whether all was right.
export function introspect(caller, token, expected, what) {
  const { sent, form } = proof(caller, 'introspect');
  const body = `token=${encodeURIComponent(token)}${config.form.introspect}${form}`;
  const response = post(config.endpoints.introspect, body, parameters('introspect', called('introspect'), 200, sent));
  return arrived(response, 200) && judge(json(response), expected, what);
}

// Judges one answer of an introspection.
function judge(answer, expected, what) {
  if (answer === undefined) return false;
  if (expected === null) return demand(answer.active === false, what);
  if (!demand(answer.active === true, what)) return false;
  const { clientClaim: claim } = config;
  return claim === undefined || demand(answer[claim] === expected.id, 'a valid token of somebody else');
}

// Asks about several tokens at once: a list of `{ token, expected, what }`.
export function introspectBatch(caller, asked) {
  const sent = parameters('introspect_batch', 'POST /oauth/introspect/batch', 200, headers(caller, 'application/json'));
  const body = JSON.stringify({ tokens: asked.map((one) => one.token) });
  const response = post(url('/oauth/introspect/batch'), body, sent);
  if (!arrived(response, 200)) return;
  const answers = json(response);
  if (answers === undefined) return;
  const complete = Array.isArray(answers) && answers.length === asked.length;
  if (!demand(complete, 'a batch of another length')) return;
  asked.forEach((one, index) => judge(answers[index], one.expected, one.what));
}

// Whether the revocation was answered 200.
export function revoke(client, token) {
  const { sent, form } = proof(client, 'revoke');
  const response = post(config.endpoints.revoke, `token=${encodeURIComponent(token)}${form}`, parameters('revoke', called('revoke'), 200, sent));
  return arrived(response, 200);
}

const DOCUMENTS = {
  jwks: ['/.well-known/jwks.json', (found) => Array.isArray(found.keys) && found.keys.length > 0],
  paseto_keys: ['/.well-known/paseto-keys.json', (found) => Array.isArray(found.keys) && found.keys.length > 0],
  metadata: ['/.well-known/oauth-authorization-server', (found) => /^https?:/.test(found.token_endpoint)],
};

// One of the public documents.
export function discover(name) {
  const [path, holds] = DOCUMENTS[name];
  const response = get(url(path), parameters(name, `GET ${path}`, 200, {}));
  if (!arrived(response, 200)) return undefined;
  const found = json(response);
  if (found !== undefined) demand(holds(found), 'a document without what it is for');
  return found;
}
