local t = import 'lib.libsonnet';

local requests(endpoint, status, values) =
  t.series('http_requests_total', values, { method: 'POST', route: endpoint, status: status });
local latency(endpoint, le, values) =
  t.series('http_request_duration_seconds_bucket', values, { method: 'POST', route: endpoint, le: le });
local count(endpoint, values) =
  t.series('http_request_duration_seconds_count', values, { method: 'POST', route: endpoint });
local token = '/oauth/token';
local both(endpoint, windows) = [t.job { endpoint: endpoint, window: window } for window in windows];

t.file([
  t.test('3 % of the token requests fail', [
    requests(token, '2xx', '0+60x150'),
    requests(token, '5xx', '0+2x150'),
  ], [
    t.fires('2h', 'HighErrorRate', both('token', ['1h', '6h']), '3.226%'),
    t.fires('2h', 'ErrorBudgetBurn', both('token', ['1d', '3d']), '3.226%'),
    t.silent('2h', 'HighLatency'),
  ]),
  t.test('requests that fail do not disappear in a flood of 4xx', [
    requests(token, '2xx', '0+60x150'),
    requests(token, '4xx', '0+60000x150'),
    requests(token, '5xx', '0+2x150'),
  ], [t.fires('2h', 'HighErrorRate', both('token', ['1h', '6h']), '3.226%')]),
  t.test('two instances: the ratio of the sums', [
    requests('/oauth/revoke', '2xx', '0+100x150'),
    requests('/oauth/revoke', '5xx', '0+0x150'),
    t.series('http_requests_total', '0+0x150', { instance: 'b', method: 'POST', route: '/oauth/revoke', status: '2xx' }),
    t.series('http_requests_total', '0+3x150', { instance: 'b', method: 'POST', route: '/oauth/revoke', status: '5xx' }),
  ], [t.fires('2h', 'HighErrorRate', both('revocation', ['1h', '6h']), '2.913%')]),
  t.test('both introspection routes are one endpoint', [
    requests('/oauth/introspect', '2xx', '0+60x150'),
    requests('/oauth/introspect/batch', '5xx', '0+2x150'),
  ], [t.fires('2h', 'HighErrorRate', both('introspection', ['1h', '6h']), '3.226%')]),
  t.test('a slow burn is a ticket', [
    requests(token, '2xx', '0+996x150'),
    requests(token, '5xx', '0+4x150'),
  ], [
    t.silent('2h', 'HighErrorRate'),
    t.fires('2h', 'ErrorBudgetBurn', both('token', ['1d', '3d']), '0.4%'),
  ]),
  t.test('within the objective', [
    requests(token, '2xx', '0+9995x150'),
    requests(token, '5xx', '0+5x150'),
  ], [
    t.silent('2h', 'HighErrorRate'),
    t.silent('2h', 'ErrorBudgetBurn'),
  ]),
  t.test('an outage that ended stops paging when the short windows are clean', [
    requests(token, '2xx', '0+60x150'),
    requests(token, '5xx', '0+60x30 1800+0x120'),
  ], [
    t.fires('28m', 'HighErrorRate', both('token', ['1h', '6h']), '50%'),
    t.silent('65m', 'HighErrorRate'),
  ]),
  t.test('a few failures of a few requests page nobody', [
    requests('/oauth/revoke', '2xx', '0+1x150'),
    requests('/oauth/revoke', '5xx', '0x50 1x5 2x5 3x90'),
  ], [
    t.silent('60m', 'HighErrorRate'),
  ]) + {
    promql_expr_test: [{
      expr: 'count(job_endpoint:oauth2_server_availability_errors:ratio_rate1h{endpoint="revocation"} > 14.4 * (1 - 0.999))',
      eval_time: '60m',
      exp_samples: [{ labels: '{}', value: 1 }],
    }],
  },
  t.test('no traffic', [
    requests(token, '2xx', '7+0x150'),
    requests(token, '5xx', '9+0x150'),
    latency(token, '0.1', '7+0x150'),
    count(token, '16+0x150'),
  ], [t.silent('2h', alert) for alert in ['HighErrorRate', 'ErrorBudgetBurn', 'HighLatency', 'LatencyBudgetBurn']]),
  t.test('30 % of the token requests are slow', [
    latency(token, '0.1', '0+70x150'),
    count(token, '0+100x150'),
  ], [
    t.fires('2h', 'HighLatency', both('token', ['1h', '6h']), '30%'),
    t.fires('2h', 'LatencyBudgetBurn', both('token', ['1d', '3d']), '30%'),
    t.silent('2h', 'HighErrorRate'),
  ]),
  t.test('2 % of the introspections are slow: a ticket', [
    latency('/oauth/introspect', '0.05', '0+98x150'),
    count('/oauth/introspect', '0+100x150'),
  ], [
    t.silent('2h', 'HighLatency'),
    t.fires('2h', 'LatencyBudgetBurn', both('introspection', ['3d']), '2%'),
  ]),
  t.test('0.5 % are slow', [
    latency(token, '0.1', '0+995x150'),
    count(token, '0+1000x150'),
  ], [
    t.silent('2h', 'HighLatency'),
    t.silent('2h', 'LatencyBudgetBurn'),
  ]),
  t.values('recorded values', [
    requests(token, '2xx', '0+60x150'),
    requests(token, '4xx', '0+60x150'),
    requests(token, '5xx', '0+30x150'),
    requests('/oauth/revoke', '2xx', '5+0x150'),
    latency(token, '0.1', '0+75x150'),
    latency(token, '+Inf', '0+150x150'),
    count(token, '0+150x150'),
  ], [
    ['2h', 'round(job_endpoint:oauth2_server_availability_events:rate5m, 0.001)', [[t.job { endpoint: 'revocation' }, 0], [t.job { endpoint: 'token' }, 1.5]]],
    ['2h', 'round(job_endpoint:oauth2_server_availability_errors:ratio_rate5m, 0.0001)', [[t.job { endpoint: 'token' }, 0.3333]]],
    ['2h', 'round(job_endpoint:oauth2_server_availability_errors:ratio_rate30d, 0.0001)', [[t.job { endpoint: 'token' }, 0.3333]]],
    ['2h', 'round(job_endpoint:oauth2_server_availability_budget:remaining30d)', [[t.job { endpoint: 'token' }, -332]]],
    ['2h', 'round(job_endpoint:oauth2_server_latency_errors:ratio_rate1h, 0.0001)', [[t.job { endpoint: 'token' }, 0.5]]],
    ['2h', 'round(job_endpoint:oauth2_server_http_requests:rate5m{endpoint="token"}, 0.001)', [[t.job { endpoint: 'token' }, 2.5]]],
    ['2h', 'round(job_endpoint:oauth2_server_http_request_duration_seconds:p50_rate5m, 0.001)', [[t.job { endpoint: 'token' }, 0.1]]],
    ['2h', 'endpoint:oauth2_server_availability:objective{endpoint="token"} * 1000', [[{ endpoint: 'token' }, 999]]],
    ['2h', 'count(endpoint:oauth2_server_latency_threshold_seconds:objective)', [[{}, 3]]],
  ]),
], recorded=true)
