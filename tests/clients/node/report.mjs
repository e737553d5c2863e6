// One line per check on standard output, and what scripts/check-clients started.

import { readFileSync } from 'node:fs';

let failed = false;

/** Runs a check. `library`: its name and version; `what`: what holds if it returns. */
export async function check(library, what, run) {
  try {
    await run();
    console.log(`ok node ${library}: ${what}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED node ${library}: ${what}: ${error.code ?? ''} ${error.message} ${error.cause?.message ?? ''}`);
  }
}

/** Checks that a token of each client is accepted, and rejected with a changed signature. */
export async function verifies(fixture, library, clients, verify) {
  for (const client of clients) {
    await check(library, `verifies ${client}`, async () => {
      const token = await fixture.token(client);
      await verify(token);
      await rejected('a changed signature', () => verify(forged(token)));
    });
  }
}

/** Succeeds if the call is rejected by an exception. */
export async function rejected(what, call) {
  try {
    await call();
  } catch {
    return;
  }
  throw new Error(`${what} is accepted`);
}

export function require(holds, what) {
  if (!holds) throw new Error(what);
}

/** The token with its signature changed. */
function forged(token) {
  const start = token.lastIndexOf('.') + 1;
  return token.slice(0, start) + (token[start] === 'A' ? 'B' : 'A') + token.slice(start + 1);
}

export class Fixture {
  constructor(file) {
    Object.assign(this, JSON.parse(readFileSync(file, 'utf8')));
  }

  /** An access token of a client. */
  async token(name) {
    const body = new URLSearchParams({ grant_type: 'client_credentials', ...this.clients[name] });
    const response = await fetch(`${this.issuer}/oauth/token`, { method: 'POST', body });
    require(response.status === 200, `the token endpoint answers ${response.status}`);
    return (await response.json()).access_token;
  }
}

/** Ends the process: 1 if a check failed. */
export function exit() {
  process.exit(failed ? 1 : 0);
}
