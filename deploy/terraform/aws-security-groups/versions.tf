terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # One resource per rule (aws_vpc_security_group_ingress_rule) needs 5.0.
      version = ">= 5.0"
    }
  }
}
