// The limits of the clients of `limits`, `quotas` and `auth_failures`. They are derived from the planned request rate, so
// that RATE and DURATION can be set without adjusting them.
import { whole } from './env.js';
import { fail } from './failure.js';

// A tenth of a client's request rate at one node, per minute so that it is a whole number. The bucket holds two seconds of
// refill: a generator that runs late by less than that loses no tokens to an overflowing bucket.
function rateLimit(requestRate) {
  const minute = Math.max(1, Math.round(requestRate * 6));
  const burst = Math.max(2, Math.round(minute / 30));
  return { minute, burst, spelled: `${minute}/m:${burst}` };
}

// A limit that is never reached would be reported as enforced.
function requireReachable(name, requests, least, limit) {
  if (requests < least) {
    fail(`SCENARIOS has ${name}, whose clients send ${Math.floor(requests)} requests each: too few to exceed ${limit}; raise RATE or DURATION`);
  }
}

export function clientLimits(names, rates, duration) {
  const limited = whole('LIMITED', 2, 1, 100);
  const nodes = whole('NODES', 1, 1, 1000);
  const found = {
    limited,
    nodes,
    failures: whole('AUTH_FAILURES', 100, 0, 1e6),
  };
  if (names.includes('limits')) {
    found.rateLimit = rateLimit(rates.limits / limited / nodes);
    const { burst, spelled } = found.rateLimit;
    requireReachable('limits', (rates.limits * duration) / limited, 3 * burst * nodes, `a rate limit of ${spelled}`);
  }
  if (names.includes('quotas')) {
    const requests = (rates.quotas * duration) / limited;
    found.quota = whole('QUOTA', Math.max(1, Math.min(20, Math.floor(requests / 2))), 1, 1e9);
    requireReachable('quotas', requests, 2 * found.quota, `a quota of ${found.quota}`);
  }
  return found;
}
