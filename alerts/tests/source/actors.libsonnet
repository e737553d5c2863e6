local t = import 'lib.libsonnet';
local gateway = { actor: 'store_gateway' };

t.file([
  t.test('an actor was restarted', [t.series('actor_restarts_total', '0x10 1x40', gateway)], [
    t.silent('9m', 'OAuth2ActorRestarts'),
    t.fires('15m', 'OAuth2ActorRestarts', t.instance + gateway, '1'),
    t.silent('15m', 'OAuth2ActorCrashLoop'),
    t.silent('40m', 'OAuth2ActorRestarts'),
  ]),
  t.test('an actor crashes in a loop', [t.series('actor_restarts_total', '0x10 2 4 6x40', gateway)], [
    t.fires('16m', 'OAuth2ActorCrashLoop', t.instance + gateway, '6'),
    t.silent('40m', 'OAuth2ActorCrashLoop'),
  ]),
  t.test('audit rows wait', [t.series('audit_backlog', '0x5 5000x30')], [
    t.silent('10m', 'OAuth2AuditBacklog'),
    t.fires('20m', 'OAuth2AuditBacklog', t.instance, '5000'),
  ]),
  t.test('log lines are dropped', [t.series('log_lines_dropped_total', '0x5 40x60')], [
    t.silent('4m', 'OAuth2LogLinesDropped'),
    t.fires('10m', 'OAuth2LogLinesDropped', t.instance, '40'),
    t.silent('30m', 'OAuth2LogLinesDropped'),
  ]),
])
