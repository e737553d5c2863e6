// Closed lists: k6 tells the summary only of tags that were named before.

// How a request can fail: by status and code, or without an answer.
export const kinds = () => [
  'no answer (refused)',
  'no answer (timeout)',
  'no answer (reset)',
  'no answer (dns)',
  'no answer (tls)',
  'no answer (other)',
  '200 instead of a refusal',
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

// How an answer can be well-formed HTTP and still not be true.
export const wrongs = () => [
  'a token response without a token of its format',
  'a valid token called inactive',
  'a valid token of somebody else',
  'a revoked token called active',
  'garbage called active',
  'a batch of another length',
  'a document without what it is for',
  'a wrong secret accepted',
  'a right secret refused',
  'an answer without the RateLimit fields of its limit',
  'a refusal that does not say when to ask again',
  'a refusal other than the documented one',
  'more let through than the rate',
  'less let through than the rate',
  'more tokens than the quota',
  'fewer tokens than the quota',
  'an answer that is not JSON',
];

let known;

function silence(code) {
  if (code === 1212) return 'no answer (refused)';
  if (code === 1050 || code === 1211) return 'no answer (timeout)';
  if (code === 1220 || code === 1201) return 'no answer (reset)';
  if (code >= 1100 && code < 1200) return 'no answer (dns)';
  if (code >= 1300 && code < 1400) return 'no answer (tls)';
  return 'no answer (other)';
}

// The kind of an answer that was not the one expected.
export function kindOf(response) {
  const { status } = response;
  if (status === 0) return silence(response.error_code);
  if (status === 200) return '200 instead of a refusal';
  let code;
  try {
    code = JSON.parse(response.body).error;
  } catch (error) {
    // Not an answer of the server, but of something before it.
  }
  known = known ?? new Set(kinds());
  for (const kind of [`${status} ${code}`, `${status} other`]) {
    if (known.has(kind)) return kind;
  }
  return `${Math.floor(status / 100)}xx other`;
}
