// The two indicators of an endpoint: `events` are the requests that count, `errors` the bad ones of them, per second.
local buckets = ['0.0005', '0.001', '0.0025', '0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1.001', '2.5', '5.001'];
local total = 'oauth2_server_http_requests_total';
local duration = 'oauth2_server_http_request_duration_seconds';

function(c, objective)
  local routes = 'route=~"%s"' % objective.routes;
  local rate(metric, labels, window) =
    'sum %s (rate(%s{%s}[%s]))' % [c.by(), metric, c.select(labels), c.duration(window)];
  assert std.member(buckets, objective.latency.seconds) : 'latency.seconds must be a bucket: ' + objective.latency.seconds;
  {
    availability: {
      objective: objective.availability,
      // Without 4xx: a flood of bad requests must not dilute the ratio.
      events(window): rate(total, routes + ', status!="4xx"', window),
      errors(window): rate(total, routes + ', status="5xx"', window),
    },
    latency: {
      objective: objective.latency.ratio,
      events(window): rate(duration + '_count', routes, window),
      errors(window):
        'clamp_min(%s\n- %s, 0)' % [
          self.events(window),
          rate(duration + '_bucket', routes + ', le="%s"' % objective.latency.seconds, window),
        ],
    },
  }
