//! A signing key as the admin API and the command line show it.

use oauth2_store::model::KeyAlgorithm;
use serde::Serialize;
use utoipa::ToSchema;

use super::KeysAt;
use crate::keys::lifecycle::{KeyState, KeyTiming, Phase, key_states};
use crate::service::schema;

/// A signing key; never its private key. Times are Unix seconds, rounded down.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView<'a> {
    /// Key id.
    pub kid: &'a str,
    /// What it signs.
    #[schema(value_type = schema::KeyAlgorithm)]
    pub algorithm: KeyAlgorithm,
    /// The phase of its lifecycle.
    pub state: Phase,
    /// When it was made, and so published.
    pub created_at: i64,
    /// From when it signs.
    pub signs_from: i64,
    /// When the next key replaced it.
    pub retired_at: Option<i64>,
    /// When it is removed: its last token has expired by then.
    pub kept_until: Option<i64>,
}

impl<'a> KeyView<'a> {
    /// Every key, in the order in which they sign.
    pub fn all(keys: &'a KeysAt, timing: &KeyTiming) -> Vec<Self> {
        let states = key_states(&keys.keys, keys.now_ms, timing);
        states.iter().map(Self::new).collect()
    }

    /// A key at one moment.
    pub fn new(state: &KeyState<'a>) -> Self {
        let seconds = |ms: i64| ms / 1000;
        Self {
            kid: &state.key.kid,
            algorithm: state.key.algorithm,
            state: state.phase,
            created_at: state.key.created_at,
            signs_from: seconds(state.key.signs_from_ms),
            retired_at: state.retired_at_ms.map(seconds),
            kept_until: state.kept_until_ms.map(seconds),
        }
    }
}
