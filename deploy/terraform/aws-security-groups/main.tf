# Security groups for the server, its proxies or load balancer, Postgres, Redis and monitoring. Rules name groups, not addresses, so that
# they hold for every instance that is started later. Each rule is a resource of its own, so that a change replaces no other rule.
# docs/operations/network.md has the same rules as a table; scripts/deploylib/terraform compares both.

locals {
  groups = {
    proxy      = "Load balancer or proxies, which terminate TLS"
    server     = "Nodes of oauth2_server"
    database   = "Postgres, primary and replicas"
    redis      = "Redis"
    monitoring = "Prometheus, OpenTelemetry collector, and hosts of operators who use the admin API"
  }

  # One entry per allowed connection between groups: everything else between them is refused.
  connections = {
    proxy_to_server        = { from = "proxy", to = "server", port = 8080, why = "Requests of clients" }
    monitoring_to_server   = { from = "monitoring", to = "server", port = 8081, why = "Metrics and admin API" }
    server_to_database     = { from = "server", to = "database", port = 5432, why = "Store" }
    server_to_pooler       = { from = "server", to = "database", port = 6432, why = "pgbouncer, where there is one" }
    monitoring_to_sql      = { from = "monitoring", to = "database", port = 5432, why = "People, dashboards and backups from administration" }
    database_to_database   = { from = "database", to = "database", port = 5432, why = "Replication" }
    server_to_redis        = { from = "server", to = "redis", port = 6379, why = "Hints and rate limits" }
    redis_to_redis         = { from = "redis", to = "redis", port = 6379, why = "Replication" }
    server_to_monitoring   = { from = "server", to = "monitoring", port = var.collector_port, why = "Traces, metrics and logs over OTLP" }
    monitoring_to_database = { from = "monitoring", to = "database", port = 9187, why = "Metrics of Postgres" }
    monitoring_to_redis    = { from = "monitoring", to = "redis", port = 9121, why = "Metrics of Redis" }
    monitoring_to_proxy    = { from = "monitoring", to = "proxy", port = 8405, why = "Metrics of HAProxy" }
  }

  # SSH: every group, from every network of administrators.
  ssh = { for pair in setproduct(keys(local.groups), var.admin_cidrs) : "${pair[0]} ${pair[1]}" => { group = pair[0], cidr = pair[1] } }
}

resource "aws_security_group" "this" {
  for_each = local.groups

  name_prefix = "${var.name}-${each.key}-"
  description = each.value
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${each.key}" }

  # A group that is in use cannot be deleted: the new one is created and attached first.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "connection" {
  for_each = local.connections

  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.why
}

resource "aws_vpc_security_group_egress_rule" "connection" {
  for_each = local.connections

  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.why
}

# The only rules for the whole internet. Port 80 redirects to HTTPS.
resource "aws_vpc_security_group_ingress_rule" "public_ipv4" {
  for_each = toset(["80", "443"])

  security_group_id = aws_security_group.this["proxy"].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  description       = "Clients"
}

resource "aws_vpc_security_group_ingress_rule" "public_ipv6" {
  for_each = toset(["80", "443"])

  security_group_id = aws_security_group.this["proxy"].id
  cidr_ipv6         = "::/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  description       = "Clients"
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each = local.ssh

  security_group_id = aws_security_group.this[each.value.group].id
  cidr_ipv4         = strcontains(each.value.cidr, ":") ? null : each.value.cidr
  cidr_ipv6         = strcontains(each.value.cidr, ":") ? each.value.cidr : null
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  description       = "SSH of administrators"
}

# Names. Servers have no other way out: updates come from an image or a mirror in the VPC.
resource "aws_vpc_security_group_egress_rule" "dns" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.this["server"].id
  cidr_ipv4         = var.resolver_cidr
  ip_protocol       = each.value
  from_port         = 53
  to_port           = 53
  description       = "DNS"
}
