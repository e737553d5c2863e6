//! The flags of a client's fields, and `--reset`.

use clap::{Args, ValueEnum};

use crate::cli::limit_flags::{LimitFlags, members};
use crate::failure::Failure;
use crate::service::clients::field::Field;
use crate::service::clients::metadata::ClientRequest;

/// Fields, and the flags that set them.
pub(super) const FLAGS: &[(&str, &str)] = &[
    ("client_id", "--id"),
    ("client_secret", "--secret"),
    ("client_secret_hash", "--secret-hash"),
    ("client_secret_hash_scheme", "--secret-hash-scheme"),
    ("client_name", "--name"),
    ("grant_types", "--grant"),
    ("scope", "--scope"),
    ("token_format", "--format"),
    ("signing_alg", "--signing-alg"),
    ("token_typ", "--token-typ"),
    ("audience", "--audience"),
    ("introspection_audiences", "--introspection-audience"),
    ("token_ledger", "--ledger"),
    ("access_token_lifetime", "--lifetime"),
    ("rate_limits", "--rate-limit"),
    ("rate_limit_mode", "--rate-limit-mode"),
    ("quotas", "--quota"),
    ("quota_mode", "--quota-mode"),
    ("reuse_percent", "--reuse-percent"),
    ("claims", "--claim"),
    ("group", "--group"),
    ("managed_by", "--managed-by"),
];

/// The flags.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// Display name.
    #[arg(long)]
    name: Option<String>,
    /// A grant that the client may use; may repeat. By default the client credentials grant, but none for a client that only introspects tokens:
    /// with --introspection-audience, without --scope and --audience.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// Scopes that the client may request, space-separated.
    #[arg(long)]
    scope: Option<String>,
    /// Format of its access tokens: paseto, jwt or opaque.
    #[arg(long)]
    format: Option<String>,
    /// Signature algorithm of its JWTs: EdDSA, Ed25519, ES256, RS256, PS256, or HS256 with the shared secret.
    #[arg(long)]
    signing_alg: Option<String>,
    /// `typ` of its JWTs: at+jwt or JWT.
    #[arg(long, value_name = "TYP")]
    token_typ: Option<String>,
    /// An audience that the client may request, a name or a URI, the first is the default; may repeat.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// An audience whose tokens the client may introspect; may repeat.
    #[arg(long, value_name = "AUDIENCE", alias = "resource-server")]
    introspection_audience: Vec<String>,
    /// Whether its tokens are recorded: durable or stateless.
    #[arg(long)]
    ledger: Option<String>,
    /// Lifetime of its access tokens, seconds.
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<i64>,
    #[command(flatten)]
    limits: LimitFlags,
    /// Issue the same token again in this share of its lifetime, 1 to 90 percent.
    #[arg(long, value_name = "PERCENT")]
    reuse_percent: Option<i64>,
    /// A private claim of all its tokens, JSON or else a string; may repeat.
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
    /// The group whose limits hold for the client, too, and that is charged for its tokens: a tenant or a plan.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Who describes the client in files: `apply` changes only clients of its owner.
    #[arg(long, value_name = "OWNER")]
    managed_by: Option<String>,
}

impl Fields {
    /// The request as the admin API takes it.
    pub(super) fn request(self) -> Result<ClientRequest, Failure> {
        let list = |list: Vec<String>| Field::from((!list.is_empty()).then_some(list));
        Ok(ClientRequest {
            client_name: self.name.into(),
            grant_types: list(self.grants),
            scope: self.scope.into(),
            token_format: self.format.into(),
            signing_alg: self.signing_alg.into(),
            token_typ: self.token_typ.into(),
            audience: list(self.audience),
            introspection_audiences: list(self.introspection_audience),
            token_ledger: self.ledger.into(),
            access_token_lifetime: self.lifetime.into(),
            rate_limits: self.limits.rate_limits()?,
            quotas: self.limits.quotas()?,
            rate_limit_mode: self.limits.rate_limit_mode.into(),
            quota_mode: self.limits.quota_mode.into(),
            reuse_percent: self.reuse_percent.into(),
            claims: members("--claim", &self.claim, |text| {
                Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
            })?,
            group: self.group.into(),
            managed_by: self.managed_by.into(),
            ..ClientRequest::default()
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Resettable {
    Name,
    Grant,
    Scope,
    Format,
    SigningAlg,
    TokenTyp,
    Audience,
    #[value(alias = "resource-server")]
    IntrospectionAudience,
    Ledger,
    Lifetime,
    RateLimits,
    RateLimitMode,
    Quotas,
    QuotaMode,
    ReusePercent,
    Claims,
    Group,
    ManagedBy,
}

impl Resettable {
    /// Fails when the request also sets the field.
    pub(super) fn apply(self, request: &mut ClientRequest) -> Result<(), Failure> {
        match self {
            Self::Name => self.reset(&mut request.client_name),
            Self::Grant => self.reset(&mut request.grant_types),
            Self::Scope => self.reset(&mut request.scope),
            Self::Format => self.reset(&mut request.token_format),
            Self::SigningAlg => self.reset(&mut request.signing_alg),
            Self::TokenTyp => self.reset(&mut request.token_typ),
            Self::Audience => self.reset(&mut request.audience),
            Self::IntrospectionAudience => self.reset(&mut request.introspection_audiences),
            Self::Ledger => self.reset(&mut request.token_ledger),
            Self::Lifetime => self.reset(&mut request.access_token_lifetime),
            Self::RateLimits => self.reset(&mut request.rate_limits),
            Self::RateLimitMode => self.reset(&mut request.rate_limit_mode),
            Self::Quotas => self.reset(&mut request.quotas),
            Self::QuotaMode => self.reset(&mut request.quota_mode),
            Self::ReusePercent => self.reset(&mut request.reuse_percent),
            Self::Claims => self.reset(&mut request.claims),
            Self::Group => self.reset(&mut request.group),
            Self::ManagedBy => self.reset(&mut request.managed_by),
        }
    }

    fn reset<T>(self, field: &mut Field<T>) -> Result<(), Failure> {
        if field.value().is_some() {
            let name = self
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_owned());
            let problem = format!("--{name} and --reset {name} contradict each other; keep one of them");
            return Err(Failure::Invalid(problem));
        }
        *field = Field::Null;
        Ok(())
    }
}
