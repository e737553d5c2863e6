variable "vpc_id" {
  description = "VPC of all groups."
  type        = string
}

variable "name" {
  description = "Beginning of the groups' names."
  type        = string
  default     = "oauth2"
}

variable "admin_cidrs" {
  description = "Networks of the people who administer the hosts by SSH, such as a VPN. Empty: no SSH, for hosts that are reached by Session Manager."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "Each entry of admin_cidrs must be a network, and not the whole internet."
  }
}

variable "resolver_cidr" {
  description = "Network of the DNS resolver that the servers use, such as the second address of the VPC with /32."
  type        = string
}

variable "collector_port" {
  description = "Port of the OpenTelemetry collector, which runs in the monitoring group."
  type        = number
  default     = 4317
}
