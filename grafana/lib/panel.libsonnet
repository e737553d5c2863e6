// Panels of core types. Every one has a title, a description, a unit, a size (w of 24 columns, h rows) and targets.
local colors = import 'colors.libsonnet';
local query = import 'query.libsonnet';

local refIds(targets) = [targets[i] { refId: std.char(65 + i) } for i in std.range(0, std.length(targets) - 1)];

local steps(list) = {
  mode: 'absolute',
  steps: [{ color: step[1], value: step[0] } for step in list],
};

local fixed(name, color) = {
  matcher: { id: 'byName', options: name },
  properties: [{ id: 'color', value: { fixedColor: color, mode: 'fixed' } }],
};

// The colours of series that have one meaning everywhere.
local meanings(targets) =
  local legends = std.set(std.filter(function(legend) std.objectHas(colors.series, legend), [t.legendFormat for t in targets]));
  [fixed(legend, colors.series[legend]) for legend in legends];

local withoutZeros = {
  matcher: { id: 'byValue', options: { reducer: 'allIsZero', op: 'gte', value: 0 } },
  properties: [{ id: 'custom.hideFrom', value: { legend: true, tooltip: true, viz: false } }],
};

local base(type, title, description, targets, unit, options) = {
  type: type,
  title: title,
  description: description,
  datasource: query.datasource,
  gridPos: { w: options.w, h: options.h, x: 0, y: 0 },
  targets: refIds(targets),
  transparent: false,
  links: if std.objectHas(options, 'links') then options.links else [],
  fieldConfig: {
    defaults: {
      unit: unit,
      mappings: if std.objectHas(options, 'mappings') then options.mappings else [],
      thresholds: steps(options.thresholds),
      color: { mode: 'palette-classic-by-name' },
      [if std.objectHas(options, 'min') then 'min']: options.min,
      [if std.objectHas(options, 'max') then 'max']: options.max,
      [if std.objectHas(options, 'decimals') then 'decimals']: options.decimals,
      [if std.objectHas(options, 'noValue') then 'noValue']: options.noValue,
    },
    overrides: if std.objectHas(options, 'overrides') then options.overrides else [],
  },
};

{
  steps: steps,
  fixed: fixed,
  // A series drawn as a dashed line without fill: an objective or a bound.
  dashed(name, color):: {
    matcher: { id: 'byName', options: name },
    properties: [
      { id: 'color', value: { fixedColor: color, mode: 'fixed' } },
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 8] } },
      { id: 'custom.fillOpacity', value: 0 },
      { id: 'custom.stacking', value: { mode: 'none', group: 'A' } },
    ],
  },
  // The values of labels that have colours.
  actors: ['token_store', 'store_gateway', 'revocation_cache', 'rate_limiter', 'quota_keeper', 'audit_writer', 'key_keeper', 'metrics'],
  routes: ['/oauth/token', '/oauth/introspect', '/oauth/introspect/batch', '/oauth/revoke', 'unmatched'],
  storeErrors: ['unavailable', 'timeout', 'not_writable', 'corrupt', 'conflict', 'other'],
  endpoints: ['token', 'introspection', 'revocation', 'metadata', 'admin', 'ops', 'other'],
  rejections: [
    'invalid_client',
    'auth_failures',
    'rate_limited',
    'quota_exceeded',
    'group_rate_limited',
    'group_quota_exceeded',
    'invalid_request',
    'invalid_scope',
    'invalid_target',
    'unsupported_grant_type',
    'unauthorized_client',
    'unauthorized',
    'forbidden',
    'not_found',
    'method_not_allowed',
    'unknown_host',
    'no_client_certificate',
    'conflict',
  ],
  sheds: [
    'full',
    'deadline',
    'crashed',
    'stopped',
    'store_unavailable',
    'store_timeout',
    'store_not_writable',
    'store_corrupt',
    'stale',
    'fallback_unavailable',
    'no_keys',
    'quota_unknown',
    'internal',
  ],
  // Colours by name for series whose legend is a label, such as {{status}}.
  colored(names):: [fixed(name, colors.series[name]) for name in names],

  // Options: w, h, stack, fill, line (a threshold: {value, color}), legend ('table', 'list' or 'hidden'), calcs, log, points,
  // hideZero (series that are 0 all the time have no line in the legend).
  timeseries(title, description, targets, unit, options={})::
    local o = {
      w: 12,
      h: 8,
      stack: false,
      fill: if self.stack then 25 else 8,
      legend: 'table',
      calcs: ['mean', 'max', 'lastNotNull'],
      min: 0,
      thresholds: if std.objectHas(self, 'line') then [[null, 'transparent'], [self.line.value, self.line.color]] else [[null, 'green']],
      log: false,
      points: 'never',
      hideZero: false,
    } + options;
    base('timeseries', title, description, targets, unit, o) + {
      fieldConfig+: {
        defaults+: {
          custom: {
            drawStyle: 'line',
            lineInterpolation: 'linear',
            lineWidth: 1,
            fillOpacity: o.fill,
            gradientMode: 'none',
            showPoints: o.points,
            pointSize: 5,
            spanNulls: false,
            axisBorderShow: false,
            axisPlacement: 'auto',
            axisLabel: '',
            axisColorMode: 'text',
            axisCenteredZero: false,
            barAlignment: 0,
            scaleDistribution: if o.log then { type: 'log', log: 10 } else { type: 'linear' },
            stacking: { mode: if o.stack then 'normal' else 'none', group: 'A' },
            thresholdsStyle: { mode: if std.objectHas(o, 'line') then 'dashed' else 'off' },
            hideFrom: { legend: false, tooltip: false, viz: false },
          },
        },
        overrides: meanings(targets) + super.overrides + (if o.hideZero then [withoutZeros] else []),
      },
      options: {
        legend: {
          displayMode: if o.legend == 'hidden' then 'list' else o.legend,
          showLegend: o.legend != 'hidden',
          placement: 'bottom',
          calcs: if o.legend == 'table' then o.calcs else [],
          [if o.legend == 'table' then 'sortBy']: if std.member(o.calcs, 'max') then 'Max' else 'Last *',
          [if o.legend == 'table' then 'sortDesc']: true,
        },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },

  // A tile with its value, coloured by thresholds, over a sparkline.
  stat(title, description, targets, unit, options={})::
    local o = {
      w: 4,
      h: 4,
      thresholds: [[null, colors.neutral]],
      calc: 'lastNotNull',
      graph: true,
      background: false,
      text: 'auto',
      fields: '',
    } + options;
    base('stat', title, description, targets, unit, o) + {
      fieldConfig+: { defaults+: { color: { mode: 'thresholds' } } },
      options: {
        colorMode: if o.background then 'background' else 'value',
        graphMode: if o.graph then 'area' else 'none',
        justifyMode: 'auto',
        orientation: 'auto',
        textMode: o.text,
        wideLayout: true,
        reduceOptions: { calcs: [o.calc], fields: o.fields, values: false },
      },
    },

  // Bars for values between min and max.
  bargauge(title, description, targets, unit, options={})::
    local o = { w: 8, h: 4, min: 0, max: 1, thresholds: [[null, colors.neutral]], calc: 'lastNotNull' } + options;
    base('bargauge', title, description, targets, unit, o) + {
      fieldConfig+: { defaults+: { color: { mode: 'thresholds' } } },
      options: {
        displayMode: 'basic',
        orientation: 'horizontal',
        showUnfilled: true,
        valueMode: 'color',
        namePlacement: 'auto',
        sizing: 'auto',
        minVizWidth: 8,
        minVizHeight: 16,
        maxVizHeight: 300,
        reduceOptions: { calcs: [o.calc], fields: '', values: false },
      },
    },

  // How many observations per second fall into each bucket of a histogram.
  heatmap(title, description, metric, unit, options={})::
    local o = { w: 12, h: 8, extra: '', scheme: 'Oranges', thresholds: [[null, 'green']] } + options;
    base('heatmap', title, description, [query.heatmap(metric, o.extra)], unit, o) + {
      fieldConfig: {
        defaults: { unit: unit, custom: { scaleDistribution: { type: 'linear' }, hideFrom: { legend: false, tooltip: false, viz: false } } },
        overrides: [],
      },
      options: {
        calculate: false,
        cellGap: 1,
        cellValues: { unit: 'ops', decimals: 1 },
        color: { mode: 'scheme', scheme: o.scheme, scale: 'exponential', exponent: 0.5, steps: 64, fill: 'dark-orange', reverse: false },
        exemplars: { color: 'rgba(255,0,255,0.7)' },
        filterValues: { le: 1e-9 },
        legend: { show: true },
        rowsFrame: { layout: 'auto' },
        showValue: 'never',
        tooltip: { mode: 'single', yHistogram: true },
        yAxis: { axisPlacement: 'left', unit: unit, reverse: false },
      },
    },

  // States over time, one line per series.
  states(title, description, targets, mappings, options={})::
    local o = { w: 12, h: 6, thresholds: [[null, colors.bad], [1, colors.good]], mappings: mappings } + options;
    base('state-timeline', title, description, targets, 'none', o) + {
      fieldConfig+: {
        defaults+: {
          color: { mode: 'thresholds' },
          custom: { fillOpacity: 70, lineWidth: 0, spanNulls: false, hideFrom: { legend: false, tooltip: false, viz: false } },
        },
      },
      options: {
        alignValue: 'left',
        legend: { displayMode: 'list', placement: 'bottom', showLegend: false, calcs: [] },
        mergeValues: true,
        rowHeight: 0.8,
        showValue: 'auto',
        tooltip: { mode: 'single', sort: 'none' },
      },
    },

  // Columns: a list of { field, title, unit, decimals, width }, in their order. Other fields are hidden.
  table(title, description, targets, columns, options={})::
    local o = { w: 24, h: 6, thresholds: [[null, colors.muted]], unit: 'none' } + options;
    base('table', title, description, targets, o.unit, o) + {
      fieldConfig+: {
        defaults+: { color: { mode: 'thresholds' }, custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false } },
        overrides: [
          {
            matcher: { id: 'byName', options: column.title },
            properties:
              (if std.objectHas(column, 'unit') then [{ id: 'unit', value: column.unit }] else []) +
              (if std.objectHas(column, 'decimals') then [{ id: 'decimals', value: column.decimals }] else []) +
              (if std.objectHas(column, 'width') then [{ id: 'custom.width', value: column.width }] else []) +
              (if std.objectHas(column, 'mappings') then [{ id: 'mappings', value: column.mappings }] else []) +
              (if std.objectHas(column, 'thresholds') then [
                 { id: 'thresholds', value: steps(column.thresholds) },
                 { id: 'custom.cellOptions', value: { type: 'color-text' } },
               ] else []),
          }
          for column in columns
        ],
      },
      options: {
        cellHeight: 'sm',
        showHeader: true,
        sortBy: [],
      },
      transformations: [
        { id: 'merge', options: {} },
        {
          id: 'filterFieldsByName',
          options: { include: { names: [column.field for column in columns] } },
        },
        {
          id: 'organize',
          options: {
            excludeByName: {},
            indexByName: { [columns[i].field]: i for i in std.range(0, std.length(columns) - 1) },
            renameByName: { [column.field]: column.title for column in columns },
          },
        },
      ],
    },

  // Text in Markdown.
  text(title, description, content, options={})::
    local o = { w: 24, h: 3 } + options;
    {
      type: 'text',
      title: title,
      description: description,
      datasource: query.datasource,
      gridPos: { w: o.w, h: o.h, x: 0, y: 0 },
      transparent: true,
      links: [],
      options: { mode: 'markdown', content: content, code: { language: 'plaintext', showLineNumbers: false, showMiniMap: false } },
    },
}
