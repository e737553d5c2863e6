// Is the server keeping its objectives, and if not, where to look: objectives, then rate, errors and duration, then the process.
local colors = import '../lib/colors.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local panel = import '../lib/panel.libsonnet';
local query = import '../lib/query.libsonnet';

local requests = 'oauth2_server_http_requests_total';
local duration = 'oauth2_server_http_request_duration_seconds';

function(config, name)
  local slo = (import '../lib/objectives.libsonnet')(config);

  local objectiveTiles =
    std.flattenArrays([
      [
        panel.stat(
          slo.title(endpoint) + ' availability',
          'Share of requests to the %s endpoint in the last hour that were not answered with 5xx; 4xx do not count. Objective: %s over 30 days. From the recording rules.' % [endpoint, slo.percent(slo.of(endpoint).availability)],
          [query.target(slo.availability(endpoint, '1h'), 'availability')],
          'percentunit',
          { decimals: 3, max: 1, thresholds: slo.steps(slo.of(endpoint).availability) }
        ),
        panel.stat(
          slo.title(endpoint) + ' in time',
          'Share of requests to the %s endpoint in the last hour that were answered within %s s. Objective: %s over 30 days. From the recording rules.' % [endpoint, slo.of(endpoint).latency.seconds, slo.percent(slo.of(endpoint).latency.ratio)],
          [query.target(slo.latency(endpoint, '1h'), 'in time')],
          'percentunit',
          { decimals: 3, max: 1, thresholds: slo.steps(slo.of(endpoint).latency.ratio) }
        ),
      ]
      for endpoint in slo.names
    ]) +
    [
      panel.bargauge(
        slo.title(endpoint) + ' error budget left',
        'What is left of the errors and slow responses that the objectives of the %s endpoint allow in 30 days. Below 0 the objective is missed. From the recording rules.' % endpoint,
        [
          query.target(slo.budget('availability', endpoint), 'availability'),
          query.target(slo.budget('latency', endpoint), 'latency'),
        ],
        'percentunit',
        { decimals: 1, thresholds: slo.budgetSteps }
      )
      for endpoint in slo.names
    ];

  local now = [
    panel.stat(
      'Ready',
      'Instances that take traffic: their /ready answers 200.',
      [query.target(query.sum('oauth2_server_ready'), 'ready')],
      'none',
      { w: 3, thresholds: [[null, colors.bad], [1, colors.good]] }
    ),
    panel.stat(
      'Requests',
      'Requests answered per second, on both listeners.',
      [query.target(query.rate(requests), 'requests')],
      'reqps',
      { w: 3 }
    ),
    panel.stat(
      'Tokens issued',
      'Access tokens issued per second.',
      [query.target(query.rate('oauth2_server_oauth_token_issued_total'), 'tokens')],
      'ops',
      { w: 3 }
    ),
    panel.stat(
      'Server errors',
      'Share of all requests that were answered with 5xx.',
      [query.target('%s / %s' % [query.rate(requests, '', 'status="5xx"'), query.rate(requests)], '5xx')],
      'percentunit',
      { w: 3, decimals: 2, thresholds: [[null, colors.good], [0.001, colors.warning], [0.01, colors.bad]] }
    ),
    panel.stat(
      'Token p99',
      'Time within which 99 % of the token requests were answered.',
      [query.target(query.quantile('0.99', duration, '', slo.routes('token')), 'p99')],
      's',
      { w: 3, thresholds: [[null, colors.good], [slo.seconds('token') / 2, colors.warning], [slo.seconds('token'), colors.bad]] }
    ),
    panel.stat(
      'Store',
      'The worst instance: its store confirms reads and accepts writes (writable), only confirms reads (read-only), or neither (down).',
      [query.target('min(%s + %s)' % [query.series('oauth2_server_store_up'), query.series('oauth2_server_store_writable')], 'store')],
      'none',
      {
        w: 3,
        graph: false,
        thresholds: [[null, colors.bad], [1, colors.warning], [2, colors.good]],
        mappings: [
          {
            type: 'value',
            options: {
              '0': { text: 'down', color: colors.bad, index: 0 },
              '1': { text: 'read-only', color: colors.warning, index: 1 },
              '2': { text: 'writable', color: colors.good, index: 2 },
            },
          },
        ],
      }
    ),
    panel.stat(
      'CPU',
      'Share of the CPUs available to the busiest instance that it uses.',
      [query.target('max(rate(%s[$__rate_interval]) / %s)' % [query.series('oauth2_server_process_cpu_seconds_total'), query.series('oauth2_server_process_cpus')], 'CPU')],
      'percentunit',
      { w: 3, decimals: 0, max: 1, thresholds: [[null, colors.good], [0.7, colors.warning], [config.thresholds.cpuRatio, colors.bad]] }
    ),
    panel.stat(
      'Shed',
      'Requests per second answered with 503 because of the state of the server. Above 0 clients retry.',
      [query.target(query.rate('oauth2_server_shed_total'), 'shed')],
      'reqps',
      { w: 3, thresholds: [[null, colors.good], [0.01, colors.warning], [1, colors.bad]] }
    ),
  ];

  local red = [
    panel.timeseries(
      'Requests by route',
      'Requests answered per second, by the matched route. Requests that match none have the route "unmatched".',
      [query.target(query.rate(requests, 'route'), '{{route}}')],
      'reqps',
      { stack: true, hideZero: true, overrides: panel.colored(panel.routes) }
    ),
    panel.timeseries(
      'Requests by status',
      'Requests answered per second, by class of the status. 4xx are errors of clients, 5xx of the server.',
      [query.target(query.rate(requests, 'status'), '{{status}}')],
      'reqps',
      { stack: true, hideZero: true, overrides: panel.colored(['2xx', '3xx', '4xx', '5xx']) }
    ),
    panel.timeseries(
      'Server errors by endpoint',
      'Share of the requests of the endpoint that were answered with 5xx. The dashed line is what the strictest objective allows on average.',
      [
        query.target('%s / %s' % [query.rate(requests, '', slo.routes(endpoint) + ', status="5xx"'), query.rate(requests, '', slo.routes(endpoint))], endpoint)
        for endpoint in slo.names
      ],
      'percentunit',
      { w: 8, line: { value: 1 - std.foldl(std.max, [slo.of(endpoint).availability for endpoint in slo.names], 0), color: colors.bad } }
    ),
    panel.timeseries(
      'Client errors by endpoint',
      'Share of the requests of the endpoint that were answered with 4xx. They do not count against the objectives.',
      [
        query.target('%s / %s' % [query.rate(requests, '', slo.routes(endpoint) + ', status="4xx"'), query.rate(requests, '', slo.routes(endpoint))], endpoint)
        for endpoint in slo.names
      ],
      'percentunit',
      { w: 8 }
    ),
    panel.timeseries(
      'Shed and missed deadlines',
      'Requests per second that were answered with 503, by reason, and those of them for which a deadline passed.',
      [
        query.target(query.rate('oauth2_server_shed_total', 'reason'), '{{reason}}'),
        query.target(query.rate('oauth2_server_deadlines_missed_total'), 'deadlines missed'),
      ],
      'reqps',
      { w: 8, hideZero: true, overrides: panel.colored(panel.sheds) }
    ),
  ] + [
    panel.timeseries(
      slo.title(endpoint) + ' latency',
      'Time from the head of the request to its response. The dashed line is the threshold of the objective: %s of the requests in %s s.' % [slo.percent(slo.of(endpoint).latency.ratio), slo.of(endpoint).latency.seconds],
      query.percentiles(duration, slo.routes(endpoint)),
      's',
      { w: 8, line: { value: slo.seconds(endpoint), color: colors.bad } }
    )
    for endpoint in slo.names
  ] + [
    panel.timeseries(
      'Admin API latency',
      'Time from the head of a request to the admin API to its response.',
      query.percentiles(duration, 'route="admin"'),
      's',
      { w: 12, h: 7 }
    ),
    panel.timeseries(
      'Rejected by reason',
      'Requests per second that were answered with 4xx because of their content or a limit, by reason.',
      [query.target(query.rate('oauth2_server_reject_total', 'reason'), '{{reason}}')],
      'reqps',
      { w: 12, h: 7, stack: true, hideZero: true, overrides: panel.colored(panel.rejections) }
    ),
  ];

  local process = [
    panel.timeseries(
      'CPU used',
      'CPUs in use per instance, and the most that is available to one.',
      [
        query.target('sum by (instance) (rate(%s[$__rate_interval]))' % query.series('oauth2_server_process_cpu_seconds_total'), '{{instance}}'),
        query.target(query.max('oauth2_server_process_cpus'), 'available'),
      ],
      'none',
      { w: 8, h: 7, decimals: 2, overrides: [panel.dashed('available', colors.muted)] }
    ),
    panel.timeseries(
      'Resident memory',
      'Resident memory per instance.',
      [query.target(query.sum('oauth2_server_process_resident_memory_bytes', 'instance'), '{{instance}}')],
      'bytes',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'File descriptors in use',
      'Share of the allowed file descriptors that an instance has open. Connections are most of them.',
      [query.target('max by (instance) (%s / %s)' % [query.series('oauth2_server_process_open_fds'), query.series('oauth2_server_process_max_fds')], '{{instance}}')],
      'percentunit',
      { w: 8, h: 7, line: { value: config.thresholds.fileDescriptorRatio, color: colors.bad } }
    ),
    panel.timeseries(
      'Threads',
      'Threads per instance. The number is fixed by the configuration: a steady rise is a defect.',
      [query.target(query.sum('oauth2_server_process_threads', 'instance'), '{{instance}}')],
      'none',
      { w: 8, h: 6 }
    ),
    panel.timeseries(
      'Log lines left out',
      'Log lines per second that were dropped because stderr was not read in time, and warnings and errors that were suppressed because the same place logged too many.',
      [
        query.target(query.rate('oauth2_server_log_lines_dropped_total', 'instance'), '{{instance}} dropped'),
        query.target(query.rate('oauth2_server_log_lines_suppressed_total', 'instance'), '{{instance}} suppressed'),
      ],
      'ops',
      { w: 8, h: 6 }
    ),
    panel.table(
      'Instances',
      'Version and start of each instance, and whether it takes traffic.',
      [
        query.instant(query.max('oauth2_server_build_info', 'instance, version'), '', 'table'),
        query.instant('max by (instance) (%s) * 1000' % query.series('oauth2_server_process_start_time_seconds'), '', 'table'),
        query.instant(query.max('oauth2_server_ready', 'instance'), '', 'table'),
      ],
      [
        { field: 'instance', title: 'Instance' },
        { field: 'version', title: 'Version', width: 110 },
        { field: 'Value #B', title: 'Started', unit: 'dateTimeFromNow', width: 140 },
        {
          field: 'Value #C',
          title: 'Ready',
          width: 80,
          thresholds: [[null, colors.bad], [1, colors.good]],
          mappings: [{ type: 'value', options: { '0': { text: 'no', index: 0 }, '1': { text: 'yes', index: 1 } } }],
        },
      ],
      { w: 8, h: 6 }
    ),
  ];

  dashboard.new(
    config,
    name,
    'Overview',
    'Objectives, then rate, errors and duration of the requests, then the process. Start here.',
    [
      dashboard.row('Service level objectives', objectiveTiles),
      dashboard.row('Now', now),
      dashboard.row('Rate, errors, duration', red),
      dashboard.row('Process', process),
    ]
  )
