// Closed lists of failures: k6 reports only tag values that are named in a threshold before the run.

// How a request can fail: by status and error code, or without a response.
export const errorTypes = () => [
  'no response (connection refused)',
  'no response (timeout)',
  'no response (connection reset)',
  'no response (dns)',
  'no response (tls)',
  'no response (other)',
  '200 instead of an error',
  '400 invalid_request',
  '400 unauthorized_client',
  '400 unsupported_grant_type',
  '400 invalid_scope',
  '400 invalid_target',
  '401 invalid_client',
  '404 not_found',
  '408 invalid_request',
  '413 invalid_request',
  '429 too_many_requests',
  '429 other',
  '500 server_error',
  '502 other',
  '503 temporarily_unavailable',
  '503 other',
  '504 other',
  '2xx other',
  '3xx other',
  '4xx other',
  '5xx other',
];

// How a response with the expected status can still be wrong.
export const WRONG = {
  token: 'token response without a token of the expected format',
  validInactive: 'valid token reported inactive',
  otherClient: 'valid token reported for another client',
  revokedActive: 'revoked token reported active',
  invalidActive: 'invalid token reported active',
  batchLength: 'batch response of the wrong length',
  document: 'discovery document without its required content',
  wrongSecretAccepted: 'wrong secret accepted',
  correctSecretRejected: 'correct secret rejected',
  rateLimitFields: 'response without the RateLimit fields of its limit',
  retryAfter: '429 without a valid Retry-After',
  errorBody: '429 with an undocumented error body',
  overRate: 'more requests admitted than the rate limit allows',
  underRate: 'fewer requests admitted than the rate limit allows',
  overQuota: 'more tokens issued than the quota allows',
  underQuota: 'fewer tokens issued than the quota allows',
  json: 'response that is not JSON',
};

let known;

function connectionError(code) {
  if (code === 1212) return 'no response (connection refused)';
  if (code === 1050 || code === 1211) return 'no response (timeout)';
  if (code === 1220 || code === 1201) return 'no response (connection reset)';
  if (code >= 1100 && code < 1200) return 'no response (dns)';
  if (code >= 1300 && code < 1400) return 'no response (tls)';
  return 'no response (other)';
}

// The error type of a response with an unexpected status.
export function errorTypeOf(response) {
  const { status } = response;
  if (status === 0) return connectionError(response.error_code);
  if (status === 200) return '200 instead of an error';
  let code;
  try {
    code = JSON.parse(response.body).error;
  } catch (error) {
    // The response came from a proxy, not from the server.
  }
  known = known ?? new Set(errorTypes());
  for (const type of [`${status} ${code}`, `${status} other`]) {
    if (known.has(type)) return type;
  }
  return `${Math.floor(status / 100)}xx other`;
}

// The certificate errors of k6 (https://grafana.com/docs/k6/latest/javascript-api/error-codes/).
const UNTRUSTED = 1310;
const OTHER_HOST = 1311;

// Why a request failed, for the error of a run that cannot begin: a clause with its separator. Without the server's own text, which may
// hold anything.
export function reasonOf(response) {
  const { status, error_code: code } = response;
  if (status !== 0) return `: it answers ${errorTypeOf(response)}`;
  if (code === UNTRUSTED) {
    return ': its certificate is not trusted; set SSL_CERT_FILE to the certificate of its authority, or K6_INSECURE_SKIP_TLS_VERIFY=true';
  }
  if (code === OTHER_HOST) return ': its certificate is for another host name';
  return `: ${connectionError(code)}`;
}
