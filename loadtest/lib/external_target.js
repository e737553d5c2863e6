// The endpoints and the client authentication of the server under test: those of oauth2_server at BASE_URL, or with TOKEN_URL
// those of any other authorization server.
import { secret, text, url } from './env.js';
import { fail } from './failure.js';

const AUTH_METHODS = ['basic', 'post', 'none'];

function authMethod(name, fallback) {
  const found = text(name) ?? fallback;
  if (!AUTH_METHODS.includes(found)) fail(`${name} must be one of ${AUTH_METHODS.join(', ')}, not ${found}`);
  return found;
}

// Additional form parameters, such as `scope=read`, appended to the form.
function form(name) {
  const found = text(name);
  if (found === undefined) return '';
  if (!/^[^=&\s]+=[^=&\s]*(&[^=&\s]+=[^=&\s]*)*$/.test(found)) {
    fail(`${name} must be form-encoded parameters, such as scope=read+write`);
  }
  return `&${found}`;
}

// The client that introspects tokens, where it is not the client that receives them.
function introspectionClient() {
  const [id, clientSecret] = [text('INTROSPECT_CLIENT_ID'), secret('INTROSPECT_CLIENT_SECRET')];
  if (id === undefined && clientSecret === undefined) return undefined;
  if (id === undefined || clientSecret === undefined) {
    fail(`INTROSPECT_CLIENT_${id === undefined ? 'ID' : 'SECRET'} is missing: a client has both an id and a secret`);
  }
  return { id, secret: clientSecret };
}

function endpoints(baseUrl) {
  const token = url('TOKEN_URL');
  const [introspect, revoke] = [url('INTROSPECT_URL'), url('REVOKE_URL')];
  if (token !== undefined) return { token, introspect, revoke };
  for (const [name, value] of [['INTROSPECT_URL', introspect], ['REVOKE_URL', revoke]]) {
    if (value !== undefined) fail(`TOKEN_URL is missing: ${name} is for another server than oauth2_server`);
  }
  return { token: `${baseUrl}/oauth/token`, introspect: `${baseUrl}/oauth/introspect`, revoke: `${baseUrl}/oauth/revoke` };
}

export const isExternal = () => text('TOKEN_URL') !== undefined;

export function target(baseUrl) {
  if (isExternal()) {
    for (const name of ['BASE_URL', 'ADMIN_URL', 'ADMIN_TOKEN']) {
      const value = text(name) ?? (name === 'ADMIN_TOKEN' ? text('ADMIN_TOKEN_FILE') : undefined);
      if (value !== undefined) fail(`${name} and TOKEN_URL are mutually exclusive: TOKEN_URL is for another server than oauth2_server`);
    }
  }
  const auth = authMethod('CLIENT_AUTH', 'basic');
  const claim = text('CLIENT_CLAIM') ?? 'client_id';
  return {
    external: isExternal(),
    product: text('PRODUCT') ?? (isExternal() ? 'another server' : 'oauth2_server'),
    endpoints: endpoints(baseUrl),
    auth: { token: auth, introspect: authMethod('INTROSPECT_AUTH', auth), revoke: auth },
    form: { token: form('TOKEN_FORM'), introspect: form('INTROSPECT_FORM') },
    introspectionClient: introspectionClient(),
    // The field of an introspection response that names the client; undefined if it is not checked.
    clientClaim: claim === 'none' ? undefined : claim,
  };
}
