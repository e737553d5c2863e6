// Who we are to the server, and which scenarios that allows.
import { FLOODS, FORMATS, GROUPS, SCENARIOS, STEADY } from './catalogue.js';
import { elsewhere, isElsewhere } from './elsewhere.js';
import { list, secret, text, url } from './env.js';
import { fail } from './failure.js';

// Where the server is and how we may speak with it, checked.
export function access() {
  const baseUrl = url('BASE_URL') ?? (isElsewhere() ? undefined : fail('BASE_URL is missing: where is the server?'));
  const place = elsewhere(baseUrl);
  const adminUrl = url('ADMIN_URL');
  const adminToken = secret('ADMIN_TOKEN');
  const id = text('CLIENT_ID');
  const clientSecret = secret('CLIENT_SECRET');
  if (adminToken !== undefined && adminUrl === undefined) {
    fail('ADMIN_URL is missing: it is where ADMIN_TOKEN is good, such as http://127.0.0.1:8081');
  }
  if ((id === undefined) !== (clientSecret === undefined)) {
    fail(`${id === undefined ? 'CLIENT_ID' : 'CLIENT_SECRET'} is missing: a client has both an id and a secret`);
  }
  if (adminToken !== undefined && id !== undefined) {
    fail('CLIENT_ID and ADMIN_TOKEN are both given: either a client that exists, or clients that are made');
  }
  const beside = adminUrl === undefined ? undefined : `${adminUrl}/metrics`;
  const metricsUrl = text('METRICS_URL') === 'none' ? undefined : (url('METRICS_URL') ?? beside);
  const client = id === undefined ? undefined : { id, secret: clientSecret };
  return { ...place, baseUrl, adminUrl, adminToken, client, metricsUrl };
}

// What a scenario lacks that it cannot do without, as a sentence that begins with "needs"; undefined if nothing.
function unmet(name, to) {
  const { needs, asks, ours } = SCENARIOS[name];
  if (to.elsewhere && ours) return 'endpoints that only oauth2_server has';
  const absent = (asks ?? []).find((endpoint) => to.endpoints[endpoint] === undefined);
  if (absent !== undefined) return `an endpoint: give ${absent.toUpperCase()}_URL`;
  if (needs === 'clients' && to.adminToken === undefined) return 'clients of its own: give ADMIN_URL and ADMIN_TOKEN';
  if (needs === 'client' && to.adminToken === undefined && to.client === undefined) {
    return 'a client: give ADMIN_URL and ADMIN_TOKEN, or CLIENT_ID and CLIENT_SECRET';
  }
  if (needs === 'metrics' && to.metricsUrl === undefined) return 'the metrics of the server: give METRICS_URL or ADMIN_URL';
  return undefined;
}

// One existing client has one format.
const forOneClient = (to) => (name) => (to.adminToken === undefined && /^client_credentials_/.test(name) ? 'client_credentials' : name);

// Those of the scenarios that can be; the others are noted with what they lack, and the report says so.
function able(wanted, to, leftOut) {
  return wanted.filter((name) => {
    const missing = unmet(name, to);
    if (missing !== undefined) leftOut[name] = missing;
    return missing === undefined;
  });
}

function fromProfile(name, profile, to, leftOut) {
  const wanted = [...new Set(Object.keys(profile.rates).map(forOneClient(to)))];
  // Without a client next to nothing is left, which must not pass for a test of the server.
  const vital = name === 'soak' ? ['watch', wanted[0]] : [wanted[0]];
  for (const one of vital) {
    if (unmet(one, to) !== undefined) fail(`PROFILE ${name} needs ${unmet(one, to)}`);
  }
  return able(wanted, to, leftOut);
}

function fromList(asked, to, leftOut) {
  const found = [];
  for (const name of asked) {
    const group = name === 'client_credentials' && to.adminToken === undefined ? undefined : GROUPS[name];
    if (group === undefined && !Object.hasOwn(SCENARIOS, name)) {
      const known = new Set([...Object.keys(GROUPS), ...GROUPS.all]);
      fail(`SCENARIOS has ${name}, which is none of ${[...known].join(', ')}`);
    }
    if (name === 'all') found.push(...able([...new Set(group.map(forOneClient(to)))], to, leftOut));
    else found.push(...(group ?? [name]));
  }
  return [...new Set(found)];
}

// The names of the scenarios to run, and those that were wanted and cannot be.
export function choose(profileName, profile, to) {
  const leftOut = {};
  const asked = list('SCENARIOS');
  const names = asked === undefined ? fromProfile(profileName, profile, to, leftOut) : fromList(asked, to, leftOut);
  for (const name of names) {
    if (unmet(name, to) !== undefined) fail(`SCENARIOS has ${name}, which needs ${unmet(name, to)}`);
  }
  if (names.every((name) => name === 'watch')) fail('SCENARIOS has nothing that makes load');
  if (profile.steps !== undefined && names.length !== 1) {
    fail(`SCENARIOS must be one scenario with PROFILE ${profileName}: what gave at the end would not be known`);
  }
  if (profile.steps !== undefined && [...STEADY, ...FLOODS].includes(names[0])) {
    fail(`SCENARIOS has ${names[0]}, which cannot be made to climb as PROFILE ${profileName} does`);
  }
  return { names, leftOut };
}

// The formats that clients are needed of.
export function formats(names, to) {
  const needy = names.filter((name) => SCENARIOS[name].needs.startsWith('client'));
  if (to.adminToken === undefined || needy.length === 0) return [];
  const single = needy.map((name) => SCENARIOS[name].format);
  return single.every((format) => format !== undefined) ? FORMATS.filter((format) => single.includes(format)) : FORMATS;
}
