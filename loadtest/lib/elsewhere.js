// Where the endpoints are and how clients prove who they are there: by default as this server has it, with TOKEN_URL as any
// other authorization server has it.
import { secret, text, url } from './env.js';
import { fail } from './failure.js';

const WAYS = ['basic', 'post', 'none'];

function way(name, fallback) {
  const found = text(name) ?? fallback;
  if (!WAYS.includes(found)) fail(`${name} must be one of ${WAYS.join(', ')}, not ${found}`);
  return found;
}

// More of a form, such as `scope=read`, to be put behind what is there.
function form(name) {
  const found = text(name);
  if (found === undefined) return '';
  if (!/^[^=&\s]+=[^=&\s]*(&[^=&\s]+=[^=&\s]*)*$/.test(found)) {
    fail(`${name} must be form-encoded parameters, such as scope=read+write`);
  }
  return `&${found}`;
}

// Who asks about tokens, where it is another than whom they are for.
function asker() {
  const [id, proof] = [text('INTROSPECT_CLIENT_ID'), secret('INTROSPECT_CLIENT_SECRET')];
  if (id === undefined && proof === undefined) return undefined;
  if (id === undefined || proof === undefined) {
    fail(`INTROSPECT_CLIENT_${id === undefined ? 'ID' : 'SECRET'} is missing: a client has both an id and a secret`);
  }
  return { id, secret: proof };
}

function places(baseUrl) {
  const token = url('TOKEN_URL');
  const [introspect, revoke] = [url('INTROSPECT_URL'), url('REVOKE_URL')];
  if (token !== undefined) return { token, introspect, revoke };
  for (const [name, given] of [['INTROSPECT_URL', introspect], ['REVOKE_URL', revoke]]) {
    if (given !== undefined) fail(`TOKEN_URL is missing: ${name} is for another server than oauth2_server`);
  }
  return { token: `${baseUrl}/oauth/token`, introspect: `${baseUrl}/oauth/introspect`, revoke: `${baseUrl}/oauth/revoke` };
}

export const isElsewhere = () => text('TOKEN_URL') !== undefined;

export function elsewhere(baseUrl) {
  if (isElsewhere()) {
    for (const name of ['BASE_URL', 'ADMIN_URL', 'ADMIN_TOKEN']) {
      const given = text(name) ?? (name === 'ADMIN_TOKEN' ? text('ADMIN_TOKEN_FILE') : undefined);
      if (given !== undefined) fail(`${name} and TOKEN_URL are both given: TOKEN_URL is for another server than oauth2_server`);
    }
  }
  const proof = way('CLIENT_AUTH', 'basic');
  const claim = text('CLIENT_CLAIM') ?? 'client_id';
  return {
    elsewhere: isElsewhere(),
    product: text('PRODUCT') ?? (isElsewhere() ? 'another server' : 'oauth2_server'),
    endpoints: places(baseUrl),
    auth: { token: proof, introspect: way('INTROSPECT_AUTH', proof), revoke: proof },
    form: { token: form('TOKEN_FORM'), introspect: form('INTROSPECT_FORM') },
    asker: asker(),
    // What an introspection calls the client, if it is to be looked at.
    clientClaim: claim === 'none' ? undefined : claim,
  };
}
