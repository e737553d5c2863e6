output "security_group_ids" {
  description = "Group per role: attach server to the nodes, proxy to the load balancer, and so on."
  value       = { for role, group in aws_security_group.this : role => group.id }
}
