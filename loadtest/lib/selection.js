// The server to test, the credentials, and the scenarios that these allow.
import { FIXED_RATE, FLOODS, FORMATS, GROUPS, SCENARIOS } from './catalogue.js';
import { list, secret, text, url } from './env.js';
import { isExternal, target } from './external_target.js';
import { fail } from './failure.js';

// Reads and validates where the server is and the credentials for it.
export function access() {
  const baseUrl = url('BASE_URL') ?? (isExternal() ? undefined : fail('BASE_URL is missing: the URL of the server'));
  const endpoints = target(baseUrl);
  const adminUrl = url('ADMIN_URL');
  const adminToken = secret('ADMIN_TOKEN');
  const id = text('CLIENT_ID');
  const clientSecret = secret('CLIENT_SECRET');
  if (adminToken !== undefined && adminUrl === undefined) {
    fail('ADMIN_URL is missing: ADMIN_TOKEN requires the URL of the management listener, such as http://127.0.0.1:8081');
  }
  if ((id === undefined) !== (clientSecret === undefined)) {
    fail(`${id === undefined ? 'CLIENT_ID' : 'CLIENT_SECRET'} is missing: a client has both an id and a secret`);
  }
  if (adminToken !== undefined && id !== undefined) {
    fail('CLIENT_ID and ADMIN_TOKEN are mutually exclusive: use an existing client, or have clients registered');
  }
  const adminMetrics = adminUrl === undefined ? undefined : `${adminUrl}/metrics`;
  const metricsUrl = text('METRICS_URL') === 'none' ? undefined : (url('METRICS_URL') ?? adminMetrics);
  const client = id === undefined ? undefined : { id, secret: clientSecret };
  return { ...endpoints, baseUrl, adminUrl, adminToken, client, metricsUrl };
}

// The missing requirement of a scenario, as the end of a sentence that begins with "needs"; undefined if it can run.
function missingRequirement(name, to) {
  const { needs, endpoints, nativeOnly } = SCENARIOS[name];
  if (to.external && nativeOnly) return 'endpoints that only oauth2_server has';
  const absent = (endpoints ?? []).find((endpoint) => to.endpoints[endpoint] === undefined);
  if (absent !== undefined) return `an endpoint: set ${absent.toUpperCase()}_URL`;
  if (needs === 'clients' && to.adminToken === undefined) return 'clients registered for the run: set ADMIN_URL and ADMIN_TOKEN';
  if (needs === 'client' && to.adminToken === undefined && to.client === undefined) {
    return 'a client: set ADMIN_URL and ADMIN_TOKEN, or CLIENT_ID and CLIENT_SECRET';
  }
  if (needs === 'metrics' && to.metricsUrl === undefined) return 'the metrics of the server: set METRICS_URL or ADMIN_URL';
  return undefined;
}

// An existing client has one format only, so a single scenario replaces the three.
const forOneClient = (to) => (name) => (to.adminToken === undefined && /^client_credentials_/.test(name) ? 'client_credentials' : name);

// The scenarios that can run. The others are added to `leftOut` with what they need, for the report.
function runnable(wanted, to, leftOut) {
  return wanted.filter((name) => {
    const missing = missingRequirement(name, to);
    if (missing !== undefined) leftOut[name] = missing;
    return missing === undefined;
  });
}

function fromProfile(name, profile, to, leftOut) {
  const wanted = [...new Set(Object.keys(profile.rates).map(forOneClient(to)))];
  // Without these, almost nothing of the profile would remain, and the result would not be a test of the server.
  const required = name === 'soak' ? ['watch', wanted[0]] : [wanted[0]];
  for (const one of required) {
    const missing = missingRequirement(one, to);
    if (missing !== undefined) fail(`PROFILE ${name} needs ${missing}`);
  }
  return runnable(wanted, to, leftOut);
}

function fromList(listed, to, leftOut) {
  const found = [];
  for (const name of listed) {
    const group = name === 'client_credentials' && to.adminToken === undefined ? undefined : GROUPS[name];
    if (group === undefined && !Object.hasOwn(SCENARIOS, name)) {
      const known = new Set([...Object.keys(GROUPS), ...GROUPS.all]);
      fail(`SCENARIOS has ${name}, which is none of ${[...known].join(', ')}`);
    }
    if (name === 'all') found.push(...runnable([...new Set(group.map(forOneClient(to)))], to, leftOut));
    else found.push(...(group ?? [name]));
  }
  return [...new Set(found)];
}

// The names of the scenarios to run, and those left out with what they need.
export function selectScenarios(profileName, profile, to) {
  const leftOut = {};
  const listed = list('SCENARIOS');
  const names = listed === undefined ? fromProfile(profileName, profile, to, leftOut) : fromList(listed, to, leftOut);
  for (const name of names) {
    const missing = missingRequirement(name, to);
    if (missing !== undefined) fail(`SCENARIOS has ${name}, which needs ${missing}`);
  }
  if (names.every((name) => name === 'watch')) fail('SCENARIOS has no scenario that generates load');
  if (profile.steps !== undefined && names.length !== 1) {
    fail(`SCENARIOS must be one scenario with PROFILE ${profileName}: otherwise it is unknown which one reached its limit`);
  }
  if (profile.steps !== undefined && [...FIXED_RATE, ...FLOODS].includes(names[0])) {
    fail(`SCENARIOS has ${names[0]}, whose rate cannot be raised in steps as PROFILE ${profileName} does`);
  }
  return { names, leftOut };
}

// The token formats for which clients must be registered.
export function requiredFormats(names, to) {
  const withClients = names.filter((name) => SCENARIOS[name].needs.startsWith('client'));
  if (to.adminToken === undefined || withClients.length === 0) return [];
  const single = withClients.map((name) => SCENARIOS[name].format);
  return single.every((format) => format !== undefined) ? FORMATS.filter((format) => single.includes(format)) : FORMATS;
}
