# OpenBao agent (`bao agent -config=agent.hcl`), or Vault agent: keeps the files of the server as they are in the KV store secret/oauth2/server.
# It runs as root, because credentials belong to root. It writes a new file and renames it, so that readers see the old or the new secret.

# Its log in at the store: role id and secret id of policy.hcl, each in a file that only root can read.
auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/oauth2-server/agent/role_id"
      secret_id_file_path = "/etc/oauth2-server/agent/secret_id"
      # The agent may be restarted.
      remove_secret_id_file_after_reading = false
    }
  }
}

vault {
  address = "https://bao.internal:8200"
  ca_cert = "/etc/oauth2-server/bao-ca.pem"
}

template_config {
  # KV secrets have no lease: this is how soon a change arrives. The default is 5 minutes.
  static_secret_render_interval = "1m"
  # A template that cannot be rendered is retried; the file of the last time stays.
  exit_on_retry_failure = false
}

template {
  contents             = "{{ with secret \"secret/data/oauth2/server\" }}{{ .Data.data.key_encryption_key }}{{ end }}"
  destination          = "/etc/oauth2-server/credentials/key_encryption_key"
  perms                = "0600"
  error_on_missing_key = true
}

template {
  contents             = "{{ with secret \"secret/data/oauth2/server\" }}{{ .Data.data.admin_token }}{{ end }}"
  destination          = "/etc/oauth2-server/credentials/admin_token"
  perms                = "0600"
  error_on_missing_key = true
}

template {
  contents             = "{{ with secret \"secret/data/oauth2/server\" }}{{ .Data.data.redis_password }}{{ end }}"
  destination          = "/etc/oauth2-server/credentials/redis_password"
  perms                = "0600"
  error_on_missing_key = true
}

# Read by the server for each new connection: a change needs no restart. The other files are read at the start; the agent restarts nothing,
# because nodes are restarted one after the other (docs/operations/rotation.md).
template {
  contents             = "{{ with secret \"secret/data/oauth2/server\" }}{{ .Data.data.database_password }}{{ end }}"
  destination          = "/etc/oauth2-server/secrets/database_password"
  perms                = "0640"
  group                = "oauth2-server"
  error_on_missing_key = true
}
