//! `[tokens]`, `[access_token]`, `[refresh_token]`: tokens of clients without settings of their own.

use oauth2_store::model::{Ledger, MAX_TOKEN_LIFETIME, TokenFormat, TokenTyp};

use super::key::Fallback::Value;
use super::key::{Key, key, unused};
use super::parse::number;
use super::values::Values;

const LEDGER: Key = key(
    "OAUTH2_TOKENS_LEDGER",
    "tokens.ledger",
    Value("durable"),
    "`durable`: each access token is committed to the store before it is returned; `stateless`: self-contained tokens are not \
     recorded.",
);
const FORMAT: Key = key(
    "OAUTH2_TOKENS_FORMAT",
    "tokens.format",
    Value("paseto"),
    "Access token format of clients without one of their own: `paseto`, `jwt` or `opaque`.",
);
const TYP: Key = key(
    "OAUTH2_TOKENS_TYP",
    "tokens.typ",
    Value("at+jwt"),
    "`typ` header of the JWTs of clients without one of their own: `at+jwt` (RFC 9068) or `JWT`, for verifiers that reject the former.",
);
/// Lifetime of access tokens.
pub(super) const ACCESS_TOKEN_EXPIRATION: Key = key(
    "OAUTH2_ACCESS_TOKEN_EXPIRATION",
    "access_token.expiration",
    Value("1800"),
    "Access token lifetime of clients without one of their own, in seconds, 1 to 2592000.",
);
const REFRESH_TOKEN_EXPIRATION: Key = unused(key(
    "OAUTH2_REFRESH_TOKEN_EXPIRATION",
    "refresh_token.expiration",
    Value("604800"),
    "Refresh token lifetime in seconds. Accepted, but not used yet.",
));

pub(super) const KEYS: &[Key] = &[LEDGER, FORMAT, TYP, ACCESS_TOKEN_EXPIRATION, REFRESH_TOKEN_EXPIRATION];

/// Access tokens of clients without settings of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Whether access tokens are recorded.
    pub ledger: Ledger,
    /// Access token format.
    pub format: TokenFormat,
    /// `typ` header of JWTs.
    pub typ: TokenTyp,
    /// Access token lifetime, in seconds.
    pub access_token_lifetime: u32,
}

impl Tokens {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let ledger = values.get(&LEDGER, str::parse);
        let format = values.get(&FORMAT, str::parse);
        let typ = values.get(&TYP, str::parse);
        let lifetime = values.get(&ACCESS_TOKEN_EXPIRATION, |text| {
            number(text, 1, MAX_TOKEN_LIFETIME as u32)
        });
        // Checked although it is not used, so that an invalid value does not surface in a later version only.
        let refresh = values.get(&REFRESH_TOKEN_EXPIRATION, |text| {
            number::<u32>(text, 1, 10 * 366 * 86_400)
        });
        if ledger == Some(Ledger::Stateless) && format == Some(TokenFormat::Opaque) {
            let problem = format!(
                "must be durable when {} is opaque, because opaque tokens are recorded",
                FORMAT.env
            );
            values.fail(&LEDGER, &problem);
        }
        refresh?;
        Some(Self {
            ledger: ledger?,
            format: format?,
            typ: typ?,
            access_token_lifetime: lifetime?,
        })
    }
}
