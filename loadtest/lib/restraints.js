// What the clients of `limits`, `quotas` and `auth_failures` may, worked out from what they are going to ask for: whoever sets
// RATE and DURATION need not think of it.
import { whole } from './env.js';
import { fail } from './failure.js';

// A tenth of what a client asks a node for, by the minute so that it is a whole number. The bucket holds two seconds of it, so
// that a generator that is late by less loses nothing of what flows in.
function rateLimit(asked) {
  const minute = Math.max(1, Math.round(asked * 6));
  const burst = Math.max(2, Math.round(minute / 30));
  return { minute, burst, spelled: `${minute}/m:${burst}` };
}

// A limit that is never reached would be reported as one that held.
function reached(name, asked, least, what) {
  if (asked < least) fail(`SCENARIOS has ${name}, whose clients ask ${Math.floor(asked)} times: too seldom to pass ${what}; raise RATE or DURATION`);
}

export function restraints(names, rates, duration) {
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
    reached('limits', (rates.limits * duration) / limited, 3 * burst * nodes, `a rate of ${spelled}`);
  }
  if (names.includes('quotas')) {
    const asked = (rates.quotas * duration) / limited;
    found.quota = whole('QUOTA', Math.max(1, Math.min(20, Math.floor(asked / 2))), 1, 1e9);
    reached('quotas', asked, 2 * found.quota, `a quota of ${found.quota}`);
  }
  return found;
}
