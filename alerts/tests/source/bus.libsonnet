local t = import 'lib.libsonnet';

t.file([
  t.test('hints do not arrive', [t.series('bus_up', '1x5 0x20')], [
    t.silent('9m', 'OAuth2BusDown'),
    t.fires('12m', 'OAuth2BusDown', t.instance, '0'),
  ]),
  t.test('hints arrive again soon', [t.series('bus_up', '1x5 0x3 1x20')], [t.silent('10m', 'OAuth2BusDown'), t.silent('20m', 'OAuth2BusDown')]),
  t.test('a stranger publishes', [t.series('bus_messages_dropped_total', '0x5 15x40', { reason: 'forged' })], [
    t.fires('10m', 'OAuth2BusForged', t.instance { reason: 'forged' }, '15'),
    t.silent('30m', 'OAuth2BusForged'),
  ]),
  t.test('old messages', [t.series('bus_messages_dropped_total', '0+3x40', { reason: 'old' })], [t.silent('20m', 'OAuth2BusForged')]),
])
