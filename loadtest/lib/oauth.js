// The server's public endpoints. Each function sends a request, counts errors and wrong answers, and returns what the caller
// needs, or undefined on failure.
import encoding from 'k6/encoding';
import { Counter } from 'k6/metrics';
import { config } from './config.js';
import { WRONG } from './error_types.js';
import { expectStatus, expectThat, get, isMeasured, json, post, requestParams } from './http.js';

const received = new Counter('tokens_received');

const FORM = 'application/x-www-form-urlencoded';
const GRANT = 'grant_type=client_credentials';
const url = (path) => `${config.baseUrl}${path}`;

// The first characters of an access token, by format.
const TOKEN_PREFIX = { paseto: 'v4.public.', jwt: 'eyJ', opaque: '' };

// Id and secret are form-encoded before they are joined (RFC 6749 section 2.3.1): a secret may hold a colon or a percent sign.
function basic(client) {
  return `Basic ${encoding.b64encode(`${encodeURIComponent(client.id)}:${encodeURIComponent(client.secret)}`)}`;
}

function headers(client, type) {
  return { Authorization: basic(client), 'Content-Type': type };
}

// The client's credentials for an endpoint: request headers, and what is appended to the form.
function credentials(client, endpoint) {
  const method = config.auth[endpoint];
  if (method === 'basic') return { sent: headers(client, FORM), form: '' };
  const fields = `client_id=${encodeURIComponent(client.id)}&client_secret=${encodeURIComponent(client.secret)}`;
  return { sent: { 'Content-Type': FORM }, form: method === 'post' ? `&${fields}` : '' };
}

// The name of a request in k6 metrics: method and path.
const requestName = (endpoint) => `POST ${config.endpoints[endpoint].replace(/^https?:\/\/[^/]*/, '')}`;

// A token request, to be sent alone or in a batch.
export function tokenRequest(client, status = 200) {
  const { sent, form } = credentials(client, 'token');
  return {
    method: 'POST',
    url: config.endpoints.token,
    body: `${GRANT}${config.form.token}${form}`,
    params: requestParams('token', requestName('token'), status, sent),
  };
}

// The access token in a response, with its expiry as Unix seconds.
export function tokenFrom(response, client) {
  if (!expectStatus(response, 200)) return undefined;
  const body = json(response);
  if (body === undefined) return undefined;
  const token = body.access_token;
  const good =
    typeof token === 'string' &&
    token.length > 20 &&
    token.startsWith(TOKEN_PREFIX[client.format] ?? '') &&
    // Case-insensitive (RFC 6749 section 5.1).
    `${body.token_type}`.toLowerCase() === 'bearer' &&
    body.expires_in > 0;
  if (!expectThat(good, WRONG.token)) return undefined;
  if (isMeasured()) received.add(1);
  return { token, expires: Date.now() / 1000 + body.expires_in, client };
}

export function issue(client) {
  const { url: to, body, params } = tokenRequest(client);
  return tokenFrom(post(to, body, params), client);
}

// Introspects a token and checks the response. `expected` is the client of an active token, or null for a token that must be
// inactive; `what` is the wrong answer to count otherwise. Returns whether the response was correct.
export function introspect(caller, token, expected, what) {
  const { sent, form } = credentials(caller, 'introspect');
  const body = `token=${encodeURIComponent(token)}${config.form.introspect}${form}`;
  const response = post(config.endpoints.introspect, body, requestParams('introspect', requestName('introspect'), 200, sent));
  return expectStatus(response, 200) && checkIntrospection(json(response), expected, what);
}

// Checks one introspection result.
function checkIntrospection(result, expected, what) {
  if (result === undefined) return false;
  if (expected === null) return expectThat(result.active === false, what);
  if (!expectThat(result.active === true, what)) return false;
  const { clientClaim: claim } = config;
  return claim === undefined || expectThat(result[claim] === expected.id, WRONG.otherClient);
}

// Introspects several tokens in one request: a list of `{ token, expected, what }`.
export function introspectBatch(caller, items) {
  const params = requestParams('introspect_batch', 'POST /oauth/introspect/batch', 200, headers(caller, 'application/json'));
  const body = JSON.stringify({ tokens: items.map((item) => item.token) });
  const response = post(url('/oauth/introspect/batch'), body, params);
  if (!expectStatus(response, 200)) return;
  const results = json(response);
  if (results === undefined) return;
  const complete = Array.isArray(results) && results.length === items.length;
  if (!expectThat(complete, WRONG.batchLength)) return;
  items.forEach((item, index) => checkIntrospection(results[index], item.expected, item.what));
}

// Revokes a token. Returns whether the response was 200.
export function revoke(client, token) {
  const { sent, form } = credentials(client, 'revoke');
  const params = requestParams('revoke', requestName('revoke'), 200, sent);
  const response = post(config.endpoints.revoke, `token=${encodeURIComponent(token)}${form}`, params);
  return expectStatus(response, 200);
}

// The discovery documents: path, and a check of the required content.
const DOCUMENTS = {
  jwks: ['/.well-known/jwks.json', (found) => Array.isArray(found.keys) && found.keys.length > 0],
  paseto_keys: ['/.well-known/paseto-keys.json', (found) => Array.isArray(found.keys) && found.keys.length > 0],
  metadata: ['/.well-known/oauth-authorization-server', (found) => /^https?:/.test(found.token_endpoint)],
};

// Fetches a discovery document by name.
export function fetchDocument(name) {
  const [path, isComplete] = DOCUMENTS[name];
  const response = get(url(path), requestParams(name, `GET ${path}`, 200, {}));
  if (!expectStatus(response, 200)) return undefined;
  const found = json(response);
  if (found !== undefined) expectThat(isComplete(found), WRONG.document);
  return found;
}
