local t = import 'lib.libsonnet';
local requests(status, values) = t.series('http_requests_total', values, { method: 'POST', route: '/oauth/token', status: status });
local failures(decision, values) = t.series('auth_failures_total', values, { decision: decision });
local checks(outcome, values) = t.series('foreign_hash_checks_total', values, { outcome: outcome });
local decisions(decision, values) = t.series('rate_limit_decisions_total', values, { endpoint: 'token', decision: decision });

t.file([
  t.test('a third of the requests fail to authenticate', [
    requests('2xx', '0+200x40'),
    requests('4xx', '0+100x40'),
    failures('within', '0+20x40'),
    failures('over', '0+80x40'),
  ], [t.fires('20m', 'OAuth2AuthFailureSpike', t.job, '33.33%')]),
  t.test('few of many requests fail to authenticate', [
    requests('2xx', '0+20000x40'),
    failures('within', '0+100x40'),
  ], [t.silent('20m', 'OAuth2AuthFailureSpike')]),
  t.test('all of a few requests fail to authenticate', [
    requests('4xx', '0+6x40'),
    failures('within', '0+6x40'),
  ], [t.silent('20m', 'OAuth2AuthFailureSpike')]),
  t.test('imported clients come faster than their hashes are verified', [
    checks('matched', '0+240x60'),
    checks('shed', '0x5 0+660x55'),
  ], [
    t.silent('12m', 'OAuth2ForeignHashesShed'),
    t.fires('40m', 'OAuth2ForeignHashesShed', t.job, '11'),
  ]),
  t.test('a few imported clients come at once', [
    checks('matched', '0+240x60'),
    checks('shed', '0x5 20x5 20x50'),
  ], [t.silent('10m', 'OAuth2ForeignHashesShed'), t.silent('40m', 'OAuth2ForeignHashesShed')]),
  t.test('half of the limited requests are over the limit', [
    decisions('allowed', '0+100x40'),
    decisions('limited', '0+100x40'),
    decisions('observed', '0+0x40'),
  ], [t.fires('20m', 'OAuth2RateLimitSpike', t.job { endpoint: 'token' }, '50%')]),
  t.test('single requests are over the limit', [
    decisions('allowed', '0+10000x40'),
    decisions('limited', '0+100x40'),
  ], [t.silent('20m', 'OAuth2RateLimitSpike')]),
  t.test('clients are over their quota', [t.series('clients_over_quota', '0x5 2x20'), t.series('clients_over_quota', '0x5 3x20', { instance: 'b' })], [
    t.silent('5m', 'OAuth2ClientsOverQuota'),
    t.fires('15m', 'OAuth2ClientsOverQuota', t.job, '3'),
  ]),
])
