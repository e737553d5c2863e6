//! `[tokens]`, `[access_token]`, `[refresh_token]`: what tokens are where the client does not say.

use oauth2_actors::model::{Ledger, MAX_TOKEN_LIFETIME, TokenFormat};

use super::values::{Values, number};

/// Defaults for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Whether access tokens are recorded.
    pub ledger: Ledger,
    /// How access tokens are written down.
    pub format: TokenFormat,
    /// Seconds that an access token lives.
    pub access_token_lifetime: u32,
}

impl Tokens {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let ledger = values.get("tokens.ledger", str::parse);
        let format = values.get("tokens.format", str::parse);
        let lifetime = values.get("access_token.expiration", |text| {
            number(text, 1, MAX_TOKEN_LIFETIME as u32)
        });
        // Nothing uses it yet, but a mistake in it should not wait for the version that does.
        let refresh = values.get("refresh_token.expiration", |text| {
            number::<u32>(text, 1, 10 * 366 * 86_400)
        });
        if ledger == Some(Ledger::Stateless) && format == Some(TokenFormat::Opaque) {
            values.fail_key(
                "tokens.ledger",
                "must be durable when OAUTH2_TOKENS_FORMAT is opaque: an opaque token must be recorded",
            );
        }
        refresh?;
        Some(Self {
            ledger: ledger?,
            format: format?,
            access_token_lifetime: lifetime?,
        })
    }
}
