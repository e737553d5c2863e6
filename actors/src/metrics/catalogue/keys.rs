//! Signing keys.

use oauth2_store::model::KeyAlgorithm;

use super::row::{LabelSet, gauge};

const ALGORITHM: LabelSet = LabelSet::closed("algorithm", || {
    KeyAlgorithm::ALL.iter().map(|one| one.as_str()).collect()
});
const STATE: LabelSet = LabelSet::closed("state", || STATES.to_vec());

/// The values of `state`: the phases of a key's lifecycle, in order.
pub const STATES: [&str; 3] = ["published", "signing", "retired"];

crate::catalogue! {
    SIGNING_KEYS = gauge("signing_keys", &[ALGORITHM, STATE], "Keys by algorithm and lifecycle state").notes(
        "Only algorithms that have a key are exported, with every state.");
    SIGNING_KEY_AGE = gauge("signing_key_age_seconds", &[ALGORITHM], "Time since the active key was activated");
    ROTATION_DUE = gauge("signing_key_rotation_due_seconds", &[ALGORITHM],
        "Time until the active key is older than the rotation interval").notes(
        "Negative when the rotation is overdue. Not exported where rotation is manual (`OAUTH2_KEYS_ROTATION`).");
    REMOVED_EARLY = gauge("retired_keys_with_live_tokens", &[],
        "Retired keys to be removed before the last token they may have signed expires").notes(
        "Above 0 for a second after the longest token lifetime was raised; for longer, the store does not accept the later removal.");
    VERIFIERS = gauge("verifiers", &[], "Verifiers of the published key sets that any node saw in the last week").notes(
        "At most 1 000. Verifiers behind one address with one user agent count once.");
    VERIFIERS_BEHIND = gauge("verifiers_behind", &[],
        "Verifiers of the key sets that lack a key for longer than they may cache a set").notes(
        "`oauth2_server key status` names them. A verifier that fetches keys only for an unknown `kid` is among them until the key signs.");
}
