// A run of loadtest/ next to the server: what k6 sent and saw (by remote write), and what the server measured at the same time.
local colors = import '../lib/colors.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local panel = import '../lib/panel.libsonnet';
local query = import '../lib/query.libsonnet';

local requests = 'oauth2_server_http_requests_total';
local duration = 'oauth2_server_http_request_duration_seconds';
local k6(metric, extra='') = '%s{scenario=~"$scenario"%s}' % [metric, if extra == '' then '' else ', ' + extra];

function(config, name)
  local slo = (import '../lib/objectives.libsonnet')(config);
  local k6Rate(metric, labels='', extra='') = 'sum%s (rate(%s[$__rate_interval]))' % [query.by(labels), k6(metric, extra)];

  // Failed requests have a series only after the first of them.
  local k6Failed(labels='') = '(%s or 0 * %s) / %s' % [
    k6Rate('k6_http_reqs_total', labels, 'expected_response="false"'),
    k6Rate('k6_http_reqs_total', labels),
    k6Rate('k6_http_reqs_total', labels),
  ];

  local tiles = [
    panel.stat('Requests of k6 now', 'Requests per second that k6 sent.', [query.target(k6Rate('k6_http_reqs_total'), 'requests')], 'reqps'),
    panel.stat(
      'Failed for k6 now',
      'Share of the requests that k6 counts as failed: another status than the scenario expects, or none.',
      [query.target(k6Failed(), 'failed')],
      'percentunit',
      { decimals: 2, thresholds: [[null, colors.good], [0.001, colors.warning], [0.01, colors.bad]] }
    ),
    panel.stat(
      'p99 for k6 now',
      'The highest p99 of a kind of requests since the run began, from the first byte sent to the last received.',
      [query.target('max(%s)' % k6('k6_http_req_duration_p99'), 'p99')],
      's',
      { thresholds: [[null, colors.good], [slo.seconds('token') / 2, colors.warning], [slo.seconds('token'), colors.bad]] }
    ),
    panel.stat(
      'Iterations dropped now',
      'Iterations per second that k6 could not start. Above 0 the target rate was not reached, and latencies are too good.',
      [query.target('(%s) or vector(0)' % k6Rate('k6_dropped_iterations_total'), 'dropped')],
      'ops',
      { thresholds: [[null, colors.good], [0.01, colors.bad]] }
    ),
    panel.stat(
      'Virtual users now',
      'Virtual users of k6. At their maximum, k6 waits for the server.',
      [query.target('sum(k6_vus)', 'users')],
      'short'
    ),
    panel.stat(
      'Answered by the server now',
      'Requests per second that the server answered, those of other clients and of Prometheus included.',
      [query.target(query.rate(requests), 'requests')],
      'reqps'
    ),
  ];

  local rates = [
    panel.timeseries(
      'Sent by k6',
      'Requests per second that k6 sent, by scenario.',
      [query.target(k6Rate('k6_http_reqs_total', 'scenario'), '{{scenario}}')],
      'reqps',
      { stack: true }
    ),
    panel.timeseries(
      'Answered by the server',
      'Requests per second that the server answered, by route.',
      [query.target(query.rate(requests, 'route'), '{{route}}')],
      'reqps',
      { stack: true, hideZero: true, overrides: panel.colored(panel.routes) }
    ),
    panel.timeseries(
      'Wrong answers',
      'Responses per second with the expected status and wrong content, such as a revoked token that is reported active. A single one is too many.',
      [query.target('(%s) or vector(0)' % k6Rate('k6_wrong_answers_total'), 'wrong')],
      'ops',
      { w: 8, h: 7, overrides: [panel.fixed('wrong', colors.bad)] }
    ),
    panel.timeseries(
      'Failed for k6',
      'Share of the requests that k6 counts as failed, by scenario.',
      [query.target(k6Failed('scenario'), '{{scenario}}')],
      'percentunit',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Rejected and shed by the server',
      'Requests per second that the server answered with 4xx (rejected) and 503 (shed).',
      [
        query.target(query.rate('oauth2_server_reject_total'), 'rejected'),
        query.target(query.rate('oauth2_server_shed_total'), 'shed'),
      ],
      'reqps',
      { w: 8, h: 7, overrides: [panel.fixed('rejected', colors.warning), panel.fixed('shed', colors.bad)] }
    ),
  ];

  local latency = [
    panel.timeseries(
      'Latency for k6',
      'The highest p99 that k6 measured since the run began, by scenario. It includes the network and what k6 itself takes.',
      [query.target('max by (scenario) (%s)' % k6('k6_http_req_duration_p99'), '{{scenario}}')],
      's',
      { line: { value: slo.seconds('token'), color: colors.bad } }
    ),
    panel.timeseries(
      'Token latency in the server',
      'Time from the head of a token request to its response, measured by the server.',
      query.percentiles(duration, slo.routes('token')),
      's',
      { line: { value: slo.seconds('token'), color: colors.bad } }
    ),
    panel.timeseries(
      'Connecting and waiting',
      'The highest p99 that k6 measured since the run began, of the phases of a request: waiting for a free connection, connecting, and waiting for the first byte.',
      [
        query.target('max(%s)' % k6('k6_http_req_blocked_p99'), 'blocked'),
        query.target('max(%s)' % k6('k6_http_req_connecting_p99'), 'connecting'),
        query.target('max(%s)' % k6('k6_http_req_waiting_p99'), 'waiting'),
      ],
      's',
      { h: 7 }
    ),
    panel.heatmap('Distribution of token latency in the server', 'Token requests per second, by the time that they took in the server.', duration, 's', { h: 7, extra: slo.routes('token') }),
  ];

  local generator = [
    panel.timeseries(
      'Iterations',
      'Iterations per second that k6 started, and that it dropped because no virtual user was free.',
      [
        query.target(k6Rate('k6_iterations_total'), 'started'),
        query.target('(%s) or vector(0)' % k6Rate('k6_dropped_iterations_total'), 'dropped'),
      ],
      'ops',
      { w: 8, h: 7, overrides: [panel.fixed('dropped', colors.bad)] }
    ),
    panel.timeseries(
      'Virtual users',
      'Virtual users of k6, and how many it may have.',
      [query.target('sum(k6_vus)', 'users'), query.target('sum(k6_vus_max)', 'allowed')],
      'short',
      { w: 8, h: 7, overrides: [panel.dashed('allowed', colors.bad)] }
    ),
    panel.timeseries(
      'Network of k6',
      'Bytes per second that k6 sent and received.',
      [
        query.target(k6Rate('k6_data_sent_total'), 'sent'),
        query.target(k6Rate('k6_data_received_total'), 'received'),
      ],
      'Bps',
      { w: 8, h: 7 }
    ),
  ];

  local server = [
    panel.timeseries(
      'CPU of the server',
      'CPUs that the server uses, and the most that is available to one instance.',
      [
        query.target(query.rate('oauth2_server_process_cpu_seconds_total'), 'used'),
        query.target(query.max('oauth2_server_process_cpus'), 'allowed'),
      ],
      'none',
      { w: 6, h: 7, decimals: 2, overrides: [panel.dashed('allowed', colors.bad)] }
    ),
    panel.timeseries(
      'Tokens per commit',
      'Mean number of token rows in a commit: it rises before the latency does.',
      [query.target(query.mean('oauth2_server_token_commit_batch_size'), 'tokens')],
      'none',
      { w: 6, h: 7, decimals: 1 }
    ),
    panel.timeseries(
      'Commit duration',
      'Time that a commit of token rows took.',
      query.percentiles('oauth2_server_token_commit_duration_seconds'),
      's',
      { w: 6, h: 7 }
    ),
    panel.timeseries(
      'Deepest mailbox',
      'Messages queued or in flight in the fullest mailbox, by actor.',
      [query.target(query.max('oauth2_server_actor_mailbox_depth', 'actor'), '{{actor}}')],
      'short',
      { w: 6, h: 7, overrides: panel.colored(panel.actors) }
    ),
  ];

  dashboard.new(
    config,
    name,
    'Load test',
    'A k6 run of loadtest/ next to the server. k6 sends its metrics by remote write: see "Live metrics in Prometheus" in loadtest/README.md.',
    [
      dashboard.row('Now', tiles),
      dashboard.row('Rates and errors', rates),
      dashboard.row('Latency', latency),
      dashboard.row('Generator', generator),
      dashboard.row('Server', server),
    ],
    {
      range: '15m',
      variables: [dashboard.labelVariable('scenario', 'Scenario', 'label_values(k6_http_reqs_total, scenario)')],
    }
  )
