// The report for people. Its tables are aligned, so that they are read on a terminal as they are.

const nothing = '-';
const figure = (value, digits = 1) => (value === null || value === undefined ? nothing : value.toFixed(digits));
const mebibytes = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;

function table(head, rows) {
  const lines = [head, ...rows].map((row) => row.map((cell) => String(cell ?? nothing).replace(/\|/g, '\\|')));
  const widths = head.map((_, at) => Math.max(3, ...lines.map((line) => line[at].length)));
  const line = (cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at])).join(' | ')} |`;
  const [first, ...rest] = lines;
  return [line(first), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rest.map(line), ''];
}

const parts = (counts) =>
  Object.entries(counts ?? {})
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ') || '0';

const latency = (ms) => (ms === null ? [nothing, nothing, nothing, nothing] : [ms.p50, ms.p95, ms.p99, ms.max].map((one) => figure(one)));

// What is not known of another server is not worth a word.
function named({ product, version, commit }) {
  if (product !== 'oauth2_server') return `${product}${version === null ? '' : ` ${version}`}${commit === null ? '' : `, commit ${commit}`}`;
  return `${product} ${version ?? 'of unknown version'}, commit ${commit ?? 'not known'}`;
}

function about(summary) {
  const { server, generator } = summary;
  const same = generator.same_machine ? 'the same machine' : 'not known';
  return table(
    ['What', 'Value'],
    [
      ['Server', named(server)],
      ['Machine of the server', server.machine ?? same],
      ['Generator', `k6 ${generator.k6 ?? 'of unknown version'}`],
      ['Machine of the generator', generator.machine ?? 'not known'],
      // run.sh fills these in: k6 does not know what it used, and has not ended yet.
      ['CPU of the generator', 'not known'],
      ['CPU of the server', 'not known'],
      ['CPU of the database', 'not known'],
      ['Ended', summary.ended],
      ['Length', `${summary.seconds} s`],
    ],
  );
}

function scenarios(summary) {
  const rows = summary.scenarios
    .filter((one) => one.started)
    .map((one) => [
      one.name,
      figure(one.iterations_per_second_asked),
      figure(one.iterations_per_second_achieved),
      one.requests,
      one.failed,
      Object.values(one.wrong_answers).reduce((sum, count) => sum + count, 0),
      one.dropped_iterations,
      ...latency(one.milliseconds),
    ]);
  const head = ['Scenario', 'asked/s', 'achieved/s', 'requests', 'errors', 'wrong', 'dropped', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms'];
  const missing = Object.entries(summary.left_out).map(([name, why]) => [`Not run: ${name}, which needs ${why}.`, '']);
  return [...table(head, rows), ...missing.flat()];
}

function errors(summary) {
  const rows = [];
  for (const one of summary.scenarios) {
    for (const [kind, count] of Object.entries(one.errors)) rows.push([one.name, kind, count]);
    for (const [what, count] of Object.entries(one.wrong_answers)) rows.push([one.name, `wrong: ${what}`, count]);
  }
  return rows.length === 0 ? ['None.', ''] : table(['Scenario', 'Kind', 'Count'], rows);
}

function phases(summary) {
  const rows = summary.scenarios.flatMap((one) =>
    one.phases.map((phase) => [one.name, phase.name, phase.requests, phase.failed, ...latency(phase.milliseconds)]),
  );
  if (rows.length === 0) return [];
  return ['## Phases', '', ...table(['Scenario', 'Phase', 'requests', 'errors', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms'], rows)];
}

function endpoints(summary) {
  const rows = summary.endpoints.map((one) => [one.name, one.requests, ...latency(one.milliseconds)]);
  return rows.length === 0 ? ['No request.', ''] : table(['Endpoint', 'requests', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms'], rows);
}

function server({ server: seen }) {
  if (seen.metrics !== 'read') return [`Not known: ${seen.metrics}.`, ''];
  const { resident_bytes: rss, open_fds: fds } = seen;
  return table(
    ['What', 'During the run'],
    [
      ['Tokens issued', `${seen.tokens_issued} (${parts(seen.tokens_issued_by_format)}); k6 received ${seen.tokens_received_by_k6}`],
      ['Tokens revoked', seen.tokens_revoked],
      ['Tokens introspected', `active ${parts(seen.tokens_introspected)}`],
      ['Commits of tokens', seen.commits],
      ['Tokens per commit', `${figure(seen.tokens_per_commit, 2)}, ${figure(seen.milliseconds_per_commit, 2)} ms each`],
      ['Sheds (5xx)', parts(seen.sheds)],
      ['Rejects (4xx)', parts(seen.rejects)],
      ['Failed authentications', seen.authentication_failures],
      ['Actor restarts', parts(seen.actor_restarts)],
      ['Resident memory', `${mebibytes(rss.before)}, afterwards ${mebibytes(rss.after)}`],
      ['Open file descriptors', `${fds.before}, afterwards ${fds.after}`],
      ['Partitions', `${seen.partitions}; ${seen.default_partition_rows} tokens outside of them`],
    ],
  );
}

function watched({ watched: seen }) {
  if (seen === undefined) return [];
  const rows = Object.entries(seen).map(([name, figures]) =>
    typeof figures === 'number' ? [name, figures, figures] : [name, figures.min, figures.max],
  );
  return ['## Watched', '', ...table(['Figure', 'least', 'most'], rows)];
}

function highest({ breakpoint }) {
  if (breakpoint === undefined) return [];
  const { highest_rate_held: held, broke_at: broke, broken, seconds } = breakpoint;
  const first = held === null ? 'No step held.' : `The highest rate that held for ${seconds} s: **${held}/s**.`;
  const second = broke === null ? 'No step broke.' : `At ${broke}/s this did not: ${broken.join(', ')}.`;
  // Iterations are dropped when no VU is free: because answers are late, or because k6 is.
  const doubt = broken.some((one) => one.startsWith('dropped_iterations'))
    ? ' Before this is called the limit of the server, see whether the CPU of the generator was the limit.'
    : '';
  return ['## Breakpoint', '', `${first} ${second}${doubt}`, ''];
}

function thresholds(summary, brief) {
  const mark = { held: 'held', crossed: '**crossed**', 'not reached': 'not reached' };
  const told = summary.thresholds.filter((one) => !brief || one.verdict === 'crossed');
  if (told.length === 0) return [`All ${summary.thresholds.length} held or were not reached.`, ''];
  const rows = told.map((one) => [mark[one.verdict], one.metric, one.expected, one.measured]);
  return table(['Verdict', 'Metric', 'Expected', 'Measured'], rows);
}

// `brief`: only what a terminal needs, since the whole is in a file.
export function markdown(summary, brief = false) {
  const given = Object.entries(summary.configuration).filter(([, value]) => value !== undefined);
  const title = `# Load test ${summary.profile}: ${summary.verdict}`;
  // Figures of nothing would only hide the reason, which the log has.
  if (brief && summary.verdict === 'could not run') return title;
  return [
    title,
    '',
    ...about(summary),
    '## Scenarios',
    '',
    ...scenarios(summary),
    ...highest(summary),
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
    ...(brief ? [] : ['## Configuration', '', ...table(['Variable', 'Value'], given)]),
  ].join('\n');
}
