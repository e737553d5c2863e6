# What the agent and fetch-secrets may do in OpenBao or Vault: read this one secret. Neither list, nor write, nor read older versions of others.
#   bao policy write oauth2-server policy.hcl
#   bao write auth/approle/role/oauth2-server token_policies=oauth2-server token_ttl=1h token_max_ttl=24h secret_id_bound_cidrs=10.0.1.0/24
path "secret/data/oauth2/server" {
  capabilities = ["read"]
}
