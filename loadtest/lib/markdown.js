// The report as Markdown. Tables are aligned so that they can be read on a terminal.

const EMPTY = '-';
const decimal = (value, digits = 1) => (value === null || value === undefined ? EMPTY : value.toFixed(digits));
const mebibytes = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;

function table(head, rows) {
  const lines = [head, ...rows].map((row) => row.map((cell) => String(cell ?? EMPTY).replace(/\|/g, '\\|')));
  const widths = head.map((_, column) => Math.max(3, ...lines.map((line) => line[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const [first, ...rest] = lines;
  return [line(first), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rest.map(line), ''];
}

// Counts by label, such as `jwt: 3, paseto: 4`.
const byLabel = (counts) =>
  Object.entries(counts ?? {})
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ') || '0';

const LATENCY = ['p50 ms', 'p95 ms', 'p99 ms', 'max ms'];
const latency = (ms) => (ms === null ? LATENCY.map(() => EMPTY) : [ms.p50, ms.p95, ms.p99, ms.max].map((one) => decimal(one)));

// Of another server, unknown properties are left out.
function serverName({ product, version, commit }) {
  if (product !== 'oauth2_server') return `${product}${version === null ? '' : ` ${version}`}${commit === null ? '' : `, commit ${commit}`}`;
  return `${product} ${version ?? 'of unknown version'}, commit ${commit ?? 'not known'}`;
}

function about(summary) {
  const { server, generator } = summary;
  const same = generator.same_machine ? 'the same machine' : 'not known';
  return table(
    ['What', 'Value'],
    [
      ['Server', serverName(server)],
      ['Machine of the server', server.machine ?? same],
      ['Generator', `k6 ${generator.k6 ?? 'of unknown version'}`],
      ['Machine of the generator', generator.machine ?? 'not known'],
      // run.sh fills in CPU times: k6 cannot measure its own, and is still running.
      ['CPU of the generator', 'not known'],
      ['CPU of the server', 'not known'],
      ['CPU of the database', 'not known'],
      ['Ended', summary.ended],
      ['Duration', `${summary.seconds} s`],
    ],
  );
}

function scenarios(summary) {
  const rows = summary.scenarios
    .filter((one) => one.started)
    .map((one) => [
      one.name,
      decimal(one.iterations_per_second_asked),
      decimal(one.iterations_per_second_achieved),
      one.requests,
      one.failed,
      Object.values(one.wrong_answers).reduce((sum, count) => sum + count, 0),
      one.dropped_iterations,
      ...latency(one.milliseconds),
    ]);
  const head = ['Scenario', 'target/s', 'achieved/s', 'requests', 'errors', 'wrong', 'dropped', ...LATENCY];
  const skipped = Object.entries(summary.left_out).map(([name, requirement]) => [`Not run: ${name}, which needs ${requirement}.`, '']);
  return [...table(head, rows), ...skipped.flat()];
}

function errors(summary) {
  const rows = [];
  for (const one of summary.scenarios) {
    for (const [type, count] of Object.entries(one.errors)) rows.push([one.name, type, count]);
    for (const [what, count] of Object.entries(one.wrong_answers)) rows.push([one.name, `wrong: ${what}`, count]);
  }
  return rows.length === 0 ? ['None.', ''] : table(['Scenario', 'Type', 'Count'], rows);
}

function phases(summary) {
  const rows = summary.scenarios.flatMap((one) =>
    one.phases.map((phase) => [one.name, phase.name, phase.requests, phase.failed, ...latency(phase.milliseconds)]),
  );
  if (rows.length === 0) return [];
  return ['## Phases', '', ...table(['Scenario', 'Phase', 'requests', 'errors', ...LATENCY], rows)];
}

function endpoints(summary) {
  const rows = summary.endpoints.map((one) => [one.name, one.requests, ...latency(one.milliseconds)]);
  return rows.length === 0 ? ['No requests.', ''] : table(['Endpoint', 'requests', ...LATENCY], rows);
}

function server({ server: seen }) {
  if (seen.metrics !== 'read') return [`Not known: ${seen.metrics}.`, ''];
  const { resident_bytes: rss, open_fds: fds } = seen;
  return table(
    ['What', 'During the run'],
    [
      ['Tokens issued', `${seen.tokens_issued} (${byLabel(seen.tokens_issued_by_format)}); k6 received ${seen.tokens_received_by_k6}`],
      ['Tokens revoked', seen.tokens_revoked],
      ['Tokens introspected', `active ${byLabel(seen.tokens_introspected)}`],
      ['Token commits', seen.commits],
      ['Tokens per commit', `${decimal(seen.tokens_per_commit, 2)}, ${decimal(seen.milliseconds_per_commit, 2)} ms each`],
      ['Sheds (5xx)', byLabel(seen.sheds)],
      ['Rejects (4xx)', byLabel(seen.rejects)],
      ['Failed authentications', seen.authentication_failures],
      ['Actor restarts', byLabel(seen.actor_restarts)],
      ['Resident memory', `${mebibytes(rss.before)}, afterwards ${mebibytes(rss.after)}`],
      ['Open file descriptors', `${fds.before}, afterwards ${fds.after}`],
      ['Partitions', `${seen.partitions}; ${seen.default_partition_rows} tokens in the default partition`],
    ],
  );
}

function watched({ watched: seen }) {
  if (seen === undefined) return [];
  const rows = Object.entries(seen).map(([name, value]) =>
    typeof value === 'number' ? [name, value, value] : [name, value.min, value.max],
  );
  return ['## Watched', '', ...table(['Metric', 'min', 'max'], rows)];
}

function highestRate({ breakpoint }) {
  if (breakpoint === undefined) return [];
  const { highest_rate_held: held, broke_at: broke, broken, seconds } = breakpoint;
  const first = held === null ? 'No step held.' : `Highest rate that held for ${seconds} s: **${held}/s**.`;
  const second = broke === null ? 'No step failed.' : `Thresholds crossed at ${broke}/s: ${broken.join(', ')}.`;
  // k6 drops iterations when no VU is free: because responses are late, or because k6 itself is slow.
  const doubt = broken.some((one) => one.startsWith('dropped_iterations'))
    ? ' Check the CPU of the generator before attributing this limit to the server.'
    : '';
  return ['## Breakpoint', '', `${first} ${second}${doubt}`, ''];
}

function thresholds(summary, brief) {
  const mark = { held: 'held', crossed: '**crossed**', 'not reached': 'not reached' };
  const shown = summary.thresholds.filter((one) => !brief || one.verdict === 'crossed');
  if (shown.length === 0) return [`All ${summary.thresholds.length} held or were not reached.`, ''];
  const rows = shown.map((one) => [mark[one.verdict], one.metric, one.expected, one.measured]);
  return table(['Verdict', 'Metric', 'Expected', 'Measured'], rows);
}

// `brief`: without the configuration and the thresholds that held, for the terminal.
export function markdown(summary, brief = false) {
  const configuration = Object.entries(summary.configuration).filter(([, value]) => value !== undefined);
  const title = `# Load test ${summary.profile}: ${summary.verdict}`;
  // Empty tables would only hide the reason, which is in the log.
  if (brief && summary.verdict === 'could not run') return title;
  return [
    title,
    '',
    ...about(summary),
    '## Scenarios',
    '',
    ...scenarios(summary),
    ...highestRate(summary),
    ...phases(summary),
    '## Errors',
    '',
    ...errors(summary),
    '## Endpoints',
    '',
    ...endpoints(summary),
    '## Server',
    '',
    ...server(summary),
    ...watched(summary),
    '## Thresholds',
    '',
    ...thresholds(summary, brief),
    ...(brief ? [] : ['## Configuration', '', ...table(['Variable', 'Value'], configuration)]),
  ].join('\n');
}
