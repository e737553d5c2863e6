//! A key as the admin API and the command line show it.

use oauth2_store::model::{KeyAlgorithm, VerifyOnlyKey};
use serde::Serialize;
use utoipa::ToSchema;

use super::KeysAt;
use crate::keys::lifecycle::{KeyState, KeyTiming, Phase, key_states};
use crate::service::schema;

/// A key; never its private key. Times are Unix seconds, rounded down.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView<'a> {
    /// Key id.
    pub kid: &'a str,
    /// The use of the key: signing or verifying.
    #[schema(value_type = schema::KeyAlgorithm)]
    pub algorithm: KeyAlgorithm,
    /// The phase of its lifecycle.
    pub state: State,
    /// When it was made, and so published, or imported.
    pub created_at: i64,
    /// From when it signs; `null` for a verify-only key, which never does.
    pub signs_from: Option<i64>,
    /// Whether it signs earlier, as soon as every recent verifier of its key set has fetched it.
    pub when_seen: bool,
    /// When the next key replaced it.
    pub retired_at: Option<i64>,
    /// When it is removed: its last token has expired by then.
    pub kept_until: Option<i64>,
    /// Of a verify-only key: the issuer whose tokens it verifies.
    pub issuer: Option<&'a str>,
    /// Whether it is in a published key set.
    pub published: bool,
}

/// The state of a key at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyState)]
pub enum State {
    /// Published, does not sign yet.
    Published,
    /// Signs.
    Signing,
    /// Does not sign any more; its tokens may be unexpired.
    Retired,
    /// Verifies tokens of the issuer that this server replaces, and never signs.
    VerifyOnly,
}

impl State {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => Phase::Published.as_str(),
            Self::Signing => Phase::Signing.as_str(),
            Self::Retired => Phase::Retired.as_str(),
            Self::VerifyOnly => "verify_only",
        }
    }
}

impl From<Phase> for State {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Published => Self::Published,
            Phase::Signing => Self::Signing,
            Phase::Retired => Self::Retired,
        }
    }
}

impl<'a> KeyView<'a> {
    /// Every key: signing keys in the order of activation, then verify-only keys.
    pub fn all(keys: &'a KeysAt, timing: &KeyTiming) -> Vec<Self> {
        let states = key_states(&keys.keys, keys.now_ms, timing);
        let verify_only = keys.verify_only.iter().map(Self::verify_only);
        states.iter().map(Self::new).chain(verify_only).collect()
    }

    /// A key at one moment.
    pub fn new(state: &KeyState<'a>) -> Self {
        let seconds = |ms: i64| ms / 1000;
        Self {
            kid: &state.key.kid,
            algorithm: state.key.algorithm,
            state: state.phase.into(),
            created_at: state.key.created_at,
            signs_from: Some(seconds(state.key.signs_from_ms)),
            when_seen: state.key.when_seen && state.phase == Phase::Published,
            retired_at: state.retired_at_ms.map(seconds),
            kept_until: state.kept_until_ms.map(seconds),
            issuer: None,
            published: true,
        }
    }

    fn verify_only(key: &'a VerifyOnlyKey) -> Self {
        Self {
            kid: &key.kid,
            algorithm: key.algorithm,
            state: State::VerifyOnly,
            created_at: key.created_at,
            signs_from: None,
            when_seen: false,
            retired_at: None,
            kept_until: Some(key.kept_until),
            issuer: Some(&key.issuer),
            published: key.published,
        }
    }
}
