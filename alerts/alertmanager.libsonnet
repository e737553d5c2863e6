// An example for Alertmanager: pages, tickets, notices and the Watchdog go to receivers of their own, and a cause inhibits its symptoms.
{
  local c = $._config,
  local severity = c.severities,
  local service = ['%s="%s"' % [label, c.alertLabels[label]] for label in std.objectFields(c.alertLabels)],
  local name(names) = ['alertname=~"%s"' % std.join('|', names)],
  local notName(names) = ['alertname!~"%s"' % std.join('|', names)],
  local inhibit(source, target, equal) = {
    source_matchers: service + source,
    target_matchers: service + target,
    equal: equal,
  },
  local receiver(name) = {
    name: name,
    webhook_configs: [{ url: 'http://127.0.0.1:9095/' + name, send_resolved: name != 'watchdog' }],
  },
  local route(matchers, name, extra={}) = { matchers: service + matchers, receiver: name } + extra,
  local absent = ['OAuth2TargetAbsent'],
  local down = ['OAuth2TargetDown'],
  local unusable = ['OAuth2StoreUnavailable', 'OAuth2StoreNotWritable'],
  local symptoms = [
    'OAuth2NotReady',
    'OAuth2RevocationLag',
    'OAuth2MailboxFilling',
    'OAuth2AuditBacklog',
    'OAuth2BusDown',
    'OAuth2ReplicaUnused',
  ],
  local symptomsOfAll = ['OAuth2Shedding', 'OAuth2DeadlinesMissed', 'OAuth2CommitSlow', 'OAuth2MaintenanceStale'],

  alertmanagerConfig:: {
    route: {
      receiver: 'tickets',
      group_by: ['alertname'] + c.groupLabels,
      group_wait: '30s',
      group_interval: '5m',
      repeat_interval: '12h',
      routes: [
        route(name(['Watchdog']), 'watchdog', { group_wait: '0s', group_interval: '1m', repeat_interval: '1m' }),
        route(['severity="%s"' % severity.page], 'pager', { group_wait: '10s', repeat_interval: '1h' }),
        route(['severity="%s"' % severity.ticket], 'tickets'),
        route(['severity="%s"' % severity.info], 'notices', { repeat_interval: '24h' }),
      ],
    },
    inhibit_rules: [
      // Without a server nothing else is worth a message.
      inhibit(name(absent), notName(absent + ['Watchdog']), c.groupLabels),
      // An instance that cannot be scraped: the rest of that instance.
      inhibit(name(down), notName(down + ['Watchdog']), c.groupLabels + ['instance']),
      // The page of an objective: its ticket, and the page of the longer window.
      inhibit(['severity="%s"' % severity.page, 'slo!=""'], ['severity="%s"' % severity.ticket, 'slo!=""'], c.groupLabels + ['endpoint', 'slo']),
      // The store explains what an instance, and the service, cannot do.
      inhibit(name(unusable), name(symptoms), c.groupLabels + ['instance']),
      inhibit(name(unusable), name(symptomsOfAll), c.groupLabels),
      inhibit(name(['OAuth2NoInstanceReady']), name(['OAuth2NotReady']), c.groupLabels),
      inhibit(name(['OAuth2StoreDiskFull']), name(['OAuth2StoreDiskFilling']), c.groupLabels + ['instance']),
      inhibit(name(['OAuth2ActorCrashLoop']), name(['OAuth2ActorRestarts']), c.groupLabels + ['instance', 'actor']),
    ],
    receivers: [receiver(name) for name in ['pager', 'tickets', 'notices', 'watchdog']],
  },
}
