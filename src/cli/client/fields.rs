//! The flags that say something of a client, and `--reset`, which takes it back.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::oauth::registration::{ClientRequest, Field};

/// What may be said of a client.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// A name for people.
    #[arg(long)]
    name: Option<String>,
    /// A grant that it may use; may repeat.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// Scopes that it may ask for, separated by spaces.
    #[arg(long)]
    scope: Option<String>,
    /// Format of its access tokens: paseto, jwt or opaque.
    #[arg(long)]
    format: Option<String>,
    /// Signature of its JWTs: EdDSA, ES256, RS256, PS256, or HS256 under the shared secret.
    #[arg(long)]
    signing_alg: Option<String>,
    /// An audience that it may ask for, the first is the default; may repeat.
    #[arg(long, value_name = "URI")]
    audience: Vec<String>,
    /// An audience whose tokens it may introspect; may repeat.
    #[arg(long, value_name = "URI")]
    resource_server: Vec<String>,
    /// Whether its tokens are recorded: durable or stateless.
    #[arg(long)]
    ledger: Option<String>,
    /// Seconds that its access tokens live.
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<i64>,
    /// How often it may ask: token, introspection or revocation, and a rate such as 100/s or 100/s:200; may repeat.
    #[arg(long, value_name = "NAME=RATE")]
    rate_limit: Vec<String>,
    /// Whether these limits refuse: observe or enforce.
    #[arg(long, value_name = "MODE")]
    rate_limit_mode: Option<String>,
    /// Tokens that it may be issued each hour, day or month (UTC); may repeat.
    #[arg(long, value_name = "WINDOW=TOKENS")]
    quota: Vec<String>,
    /// Whether these quotas refuse: observe or enforce.
    #[arg(long, value_name = "MODE")]
    quota_mode: Option<String>,
    /// Give the same token again in the first so many percent of its life, 1 to 90.
    #[arg(long, value_name = "PERCENT")]
    reuse_percent: Option<i64>,
    /// A claim that all its tokens carry: JSON, or else a string; may repeat.
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
}

impl Fields {
    /// The same as the admin API takes it.
    pub(super) fn request(self) -> Result<ClientRequest, Failure> {
        let list = |list: Vec<String>| Field::from((!list.is_empty()).then_some(list));
        Ok(ClientRequest {
            client_name: self.name.into(),
            grant_types: list(self.grants),
            scope: self.scope.into(),
            token_format: self.format.into(),
            signing_alg: self.signing_alg.into(),
            audience: list(self.audience),
            resource_server: list(self.resource_server),
            token_ledger: self.ledger.into(),
            access_token_lifetime: self.lifetime.into(),
            rate_limits: members("--rate-limit", &self.rate_limit, |text| Ok(text.to_owned()))?,
            rate_limit_mode: self.rate_limit_mode.into(),
            quotas: members("--quota", &self.quota, |text| {
                text.parse().map_err(|_| "needs a number of tokens")
            })?,
            quota_mode: self.quota_mode.into(),
            reuse_percent: self.reuse_percent.into(),
            claims: members("--claim", &self.claim, |text| {
                Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
            })?,
            ..ClientRequest::default()
        })
    }
}

/// `NAME=VALUE` flags as a merge patch of an object.
fn members<T>(
    flag: &str,
    given: &[String],
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Field<BTreeMap<String, Option<T>>>, Failure> {
    let mut members = BTreeMap::new();
    for pair in given {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Refused(format!("{flag} {pair} must be NAME=VALUE")))?;
        let value = read(value).map_err(|reason| Failure::Refused(format!("{flag} {name} {reason}")))?;
        if members.insert(name.to_owned(), Some(value)).is_some() {
            return Err(Failure::Refused(format!("{flag} names {name} twice; keep one of them")));
        }
    }
    Ok(Field::from((!members.is_empty()).then_some(members)))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Resettable {
    Name,
    Scope,
    Format,
    SigningAlg,
    Audience,
    ResourceServer,
    Ledger,
    Lifetime,
    RateLimits,
    RateLimitMode,
    Quotas,
    QuotaMode,
    ReusePercent,
    Claims,
}

impl Resettable {
    /// Fails when the request names a value for the field, too.
    pub(super) fn apply(self, request: &mut ClientRequest) -> Result<(), Failure> {
        match self {
            Self::Name => self.reset(&mut request.client_name),
            Self::Scope => self.reset(&mut request.scope),
            Self::Format => self.reset(&mut request.token_format),
            Self::SigningAlg => self.reset(&mut request.signing_alg),
            Self::Audience => self.reset(&mut request.audience),
            Self::ResourceServer => self.reset(&mut request.resource_server),
            Self::Ledger => self.reset(&mut request.token_ledger),
            Self::Lifetime => self.reset(&mut request.access_token_lifetime),
            Self::RateLimits => self.reset(&mut request.rate_limits),
            Self::RateLimitMode => self.reset(&mut request.rate_limit_mode),
            Self::Quotas => self.reset(&mut request.quotas),
            Self::QuotaMode => self.reset(&mut request.quota_mode),
            Self::ReusePercent => self.reset(&mut request.reuse_percent),
            Self::Claims => self.reset(&mut request.claims),
        }
    }

    fn reset<T>(self, field: &mut Field<T>) -> Result<(), Failure> {
        if field.value().is_some() {
            let name = self
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_owned());
            let problem = format!("--{name} and --reset {name} contradict each other; keep one of them");
            return Err(Failure::Refused(problem));
        }
        *field = Field::Null;
        Ok(())
    }
}
