// Service level objectives: what is left of the error budgets, and how fast they are being spent. Everything is from recording rules.
local colors = import '../lib/colors.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local panel = import '../lib/panel.libsonnet';
local query = import '../lib/query.libsonnet';

// The windows of the alerts: at these burn rates they fire.
local burns = [
  { window: '5m', color: 'light-blue' },
  { window: '30m', color: 'blue' },
  { window: '1h', color: 'dark-blue' },
  { window: '6h', color: 'purple' },
  { window: '3d', color: 'dark-purple' },
];
local rateSteps = [[null, colors.good], [1, colors.notice], [3, colors.warning], [6, colors.bad]];

function(config, name)
  local slo = (import '../lib/objectives.libsonnet')(config);
  local recorded(kind, what) = slo.name('%s_%s' % [kind, what]);
  local kinds = [
    { id: 'availability', title: 'availability', good: 'not answered with 5xx', bad: 'answered with 5xx' },
    { id: 'latency', title: 'latency', good: 'answered in time', bad: 'answered too late' },
  ];

  local summary = [
    panel.table(
      'Objectives',
      'The objective of each endpoint, what it was in the last 30 days, what is left of its error budget, and how fast the budget was spent in the last hour (1: it lasts exactly 30 days).',
      [
        query.instant(
          std.join(' or ', [
            'label_replace(max by (endpoint) (endpoint:oauth2_server_%s:objective), "slo", "%s", "", "")' % [kind.id, kind.id]
            for kind in kinds
          ]), '', 'table'
        ),
        query.instant(
          std.join(' or ', [
            'label_replace(1 - max by (endpoint) (%s), "slo", "%s", "", "")' % [query.recorded(recorded(kind.id, 'errors:ratio_rate30d')), kind.id]
            for kind in kinds
          ]), '', 'table'
        ),
        query.instant(
          std.join(' or ', [
            'label_replace(min by (endpoint) (%s), "slo", "%s", "", "")' % [query.recorded(recorded(kind.id, 'budget:remaining30d')), kind.id]
            for kind in kinds
          ]), '', 'table'
        ),
        query.instant(
          std.join(' or ', [
            'label_replace(max by (endpoint) (%s) / (1 - max by (endpoint) (endpoint:oauth2_server_%s:objective)), "slo", "%s", "", "")' % [query.recorded(recorded(kind.id, 'errors:ratio_rate1h')), kind.id, kind.id]
            for kind in kinds
          ]), '', 'table'
        ),
      ],
      [
        { field: 'endpoint', title: 'Endpoint' },
        { field: 'slo', title: 'Objective for' },
        { field: 'Value #A', title: 'Objective', unit: 'percentunit', decimals: 2 },
        { field: 'Value #B', title: 'Last 30 days', unit: 'percentunit', decimals: 4 },
        { field: 'Value #C', title: 'Budget left', unit: 'percentunit', decimals: 1, thresholds: slo.budgetSteps },
        { field: 'Value #D', title: 'Burn rate, last hour', unit: 'none', decimals: 2, thresholds: rateSteps },
      ],
      { h: 8 }
    ),
  ];

  local budgets = [
    panel.timeseries(
      'Error budget left: ' + kind.title,
      'What is left of the error budget for %s of the 30 days up to then. Below 0 the objective is missed.' % kind.title,
      [query.target(slo.budget(kind.id, endpoint), endpoint) for endpoint in slo.names],
      'percentunit',
      { min: null, max: 1, line: { value: 0, color: colors.bad }, calcs: ['min', 'lastNotNull'] }
    )
    for kind in kinds
  ];

  local endpointRow(endpoint) =
    std.flattenArrays([
      [
        panel.stat(
          '%s %s, 30 days' % [slo.title(endpoint), kind.title],
          'Share of the requests to the %s endpoint in the last 30 days that were %s.' % [endpoint, kind.good],
          [query.target(slo[kind.id](endpoint, '30d'), kind.id)],
          'percentunit',
          {
            w: 4,
            h: 4,
            decimals: 4,
            max: 1,
            thresholds: slo.steps(if kind.id == 'availability' then slo.of(endpoint).availability else slo.of(endpoint).latency.ratio),
          }
        ),
        panel.stat(
          '%s %s, budget left' % [slo.title(endpoint), kind.title],
          'What is left of the error budget for %s of the %s endpoint.' % [kind.title, endpoint],
          [query.target(slo.budget(kind.id, endpoint), 'left')],
          'percentunit',
          { w: 4, h: 4, decimals: 1, max: 1, thresholds: slo.budgetSteps }
        ),
        panel.stat(
          '%s %s, burn rate' % [slo.title(endpoint), kind.title],
          'How many times faster than allowed the error budget for %s of the %s endpoint was spent in the last hour. An alert pages at 14.4.' % [kind.title, endpoint],
          [query.target(slo.burnRate(kind.id, endpoint, '1h'), 'burn rate')],
          'none',
          { w: 4, h: 4, decimals: 2, thresholds: rateSteps }
        ),
      ]
      for kind in kinds
    ]) +
    [
      panel.timeseries(
        '%s burn rate: %s' % [slo.title(endpoint), kind.title],
        'How many times faster than allowed the error budget is spent, by the window of the mean. Alerts: 14.4 in 1h and 5m, and 6 in 6h and 30m, page; 3 and 1 open a ticket. The dashed line is 14.4.',
        [query.target(slo.burnRate(kind.id, endpoint, burn.window), burn.window) for burn in burns],
        'none',
        {
          w: 8,
          h: 9,
          decimals: 2,
          line: { value: 14.4, color: colors.bad },
          overrides: [panel.fixed(burn.window, burn.color) for burn in burns],
          calcs: ['max', 'lastNotNull'],
        }
      )
      for kind in kinds
    ] +
    [
      panel.timeseries(
        slo.title(endpoint) + ' requests that count',
        'Requests to the %s endpoint per second that count for availability, and those that spend a budget. Means of 5 minutes.' % endpoint,
        [
          query.target('sum(%s)' % query.recorded(slo.name('availability_events:rate5m'), 'endpoint="%s"' % endpoint), 'requests'),
          query.target('sum(%s)' % query.recorded(slo.name('availability_errors:rate5m'), 'endpoint="%s"' % endpoint), '5xx'),
          query.target('sum(%s)' % query.recorded(slo.name('latency_errors:rate5m'), 'endpoint="%s"' % endpoint), 'too late'),
        ],
        'reqps',
        { w: 8, h: 9, overrides: [panel.fixed('requests', colors.neutral), panel.fixed('too late', colors.warning)] }
      ),
    ];

  dashboard.new(
    config,
    name,
    'Objectives and error budgets',
    'Objectives, error budgets and burn rates of the token, introspection and revocation endpoints. Needs the recording rules (alerts/).',
    [
      dashboard.row('Summary', summary),
      dashboard.row('Error budgets', budgets),
    ] + [
      dashboard.row('%s: %s available, %s within %s s' % [
        slo.title(endpoint),
        slo.percent(slo.of(endpoint).availability),
        slo.percent(slo.of(endpoint).latency.ratio),
        slo.of(endpoint).latency.seconds,
      ], endpointRow(endpoint))
      for endpoint in slo.names
    ],
    { range: '24h' }
  )
