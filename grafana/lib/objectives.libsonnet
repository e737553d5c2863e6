// The service level objectives as queries on the recording rules, and as thresholds of tiles.
local colors = import 'colors.libsonnet';
local query = import 'query.libsonnet';

local rank = { token: 0, introspection: 1, revocation: 2 };

function(config) {
  local objectives = config.objectives,
  local level = config.level(['endpoint']),

  // The name of a recorded series of the endpoints.
  name(what): '%s:oauth2_server_%s' % [level, what],

  names: std.sort(std.objectFields(objectives), function(name) std.get(rank, name, 9)),
  title(name): std.asciiUpper(name[0]) + name[1:],
  of(name): objectives[name],
  // A share in percent, as text without the noise of binary fractions.
  percent(share): '%g %%' % (std.round(share * 1000000) / 10000),
  // The series of the endpoint's requests.
  routes(name): if std.length(std.findSubstr('|', objectives[name].routes)) > 0
  then 'route=~"%s"' % objectives[name].routes
  else 'route="%s"' % objectives[name].routes,
  seconds(name): std.parseJson(objectives[name].latency.seconds),

  // Where several jobs are chosen, the worst of them counts.
  availability(name, window):
    '1 - max(%s)' % query.recorded(self.name('availability_errors:ratio_rate' + window), 'endpoint="%s"' % name),
  latency(name, window):
    '1 - max(%s)' % query.recorded(self.name('latency_errors:ratio_rate' + window), 'endpoint="%s"' % name),
  budget(kind, name):
    'min(%s)' % query.recorded(self.name('%s_budget:remaining30d' % kind), 'endpoint="%s"' % name),
  // How many times faster than allowed the budget is being spent: at 1 it lasts exactly for the period.
  burnRate(kind, name, window):
    'max(%s / on (endpoint) group_left () (1 - endpoint:oauth2_server_%s:objective))' % [
      query.recorded(self.name('%s_errors:ratio_rate%s' % [kind, window]), 'endpoint="%s"' % name),
      kind,
    ],

  // Green at the objective, orange while a tenth of the budget per period is overspent, red below.
  steps(objective): [
    [null, colors.bad],
    [1 - (1 - objective) * 2, colors.warning],
    [objective, colors.good],
  ],
  budgetSteps: [[null, colors.bad], [0, colors.warning], [0.25, colors.notice], [0.5, colors.good]],
}
