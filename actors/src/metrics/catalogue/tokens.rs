//! Tokens.

use oauth2_store::model::{GrantType, TokenFormat};

use super::limits::STORE;
use super::row::{LabelSet, SECONDS, counter, gauge, histogram};

const GRANT: LabelSet = LabelSet::closed("grant_type", || GrantType::ALL.iter().map(|one| one.as_str()).collect());
const FORMAT: LabelSet = LabelSet::closed("format", || TokenFormat::ALL.iter().map(|one| one.as_str()).collect());
const KIND: LabelSet = LabelSet::closed("kind", || REVOCATION_KINDS.to_vec());
const ACTIVE: LabelSet = LabelSet::closed("active", || ACTIVE_VALUES.to_vec());
const RESULT: LabelSet = LabelSet::closed("result", || PROOFS.to_vec());

/// The values of `kind` of revocations.
pub const REVOCATION_KINDS: [&str; 5] = ["token", "client", "user", "key", "issuer"];

const FALLBACK: LabelSet = LabelSet::closed("outcome", || FALLBACK_OUTCOMES.to_vec());

/// The values of `outcome` of fallback introspections, in the order of the server's `Outcome`.
pub const FALLBACK_OUTCOMES: [&str; 4] = ["active", "inactive", "cached", "failed"];

/// The values of `active`, in the order of `false` and `true`.
pub const ACTIVE_VALUES: [&str; 2] = ["false", "true"];

/// The values of `result` of verified tokens, in the order of `Proof`.
pub const PROOFS: [&str; 3] = ["hit", "issued", "miss"];

/// Bucket bounds of a commit's rows. Halves, since rows are whole.
const ROWS: &[f64] = &[1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 64.5, 128.5, 256.5, 1024.5];

crate::catalogue! {
    ISSUED = counter("oauth_token_issued", &[FORMAT, GRANT], "Access tokens issued");
    REVOKED = counter("oauth_token_revoked", &[KIND], "Revocations committed by this process, by kind of target").notes(
        "Of a `token`, or a cut-off for a `client`, `user`, `key` or `issuer`. Deleted clients are not counted.");
    INTROSPECTIONS = counter("oauth_introspections", &[ACTIVE], "Access tokens introspected, by the active member of the response").notes(
        "Each token of a batch is counted.");
    FALLBACK_INTROSPECTIONS = counter("fallback_introspections", &[FALLBACK],
        "Opaque tokens of the previous issuer, by what became of the question to its introspection endpoint").notes(
        "Exported with `OAUTH2_FALLBACK_INTROSPECTION_URL` only. `cached`: answered without asking; `failed`: not answered, or not asked for a second after failures.");
    REUSED = counter("reused_tokens", &[], "Tokens handed out again to clients with reuse_percent").detail();
    VERIFIED_CACHE = counter("verified_token_cache", &[RESULT], "Self-contained tokens by how they were recognized").notes(
        "Verified before (`hit`), issued by this process (`issued`), or checked by their signature, valid or not (`miss`).");
    VERIFIED = gauge("verified_tokens", &[], "Cached results of token verification").notes("At most 25 MiB together, by estimate.").detail();
    STILL_VALID = gauge("still_valid_tokens", &[], "Unexpired tokens, as this node counts them");
    STILL_VALID_MAX = gauge("still_valid_tokens_max", &[], "Unexpired tokens of the client with the most").detail();
    BATCH_SIZE = histogram("token_commit_batch_size", &[STORE], ROWS, "Token rows per commit");
    COMMIT_DURATION = histogram("token_commit_duration_seconds", &[STORE], SECONDS,
        "Duration of a commit of token rows, failed commits included");
    SIGNING_SECONDS = counter("token_signing_seconds", &[], "Time spent signing tokens").notes(
        "Wall time of the signature alone. Opaque tokens have none.").experimental();
    SIGNING_OVERLAPPED = counter("token_signing_overlapped_seconds", &[], "Time spent signing tokens while a commit was in flight").notes(
        "The part of `token_signing_seconds_total` in which the token store that records the token waited for the database: the processor \
         signed instead of idling. A commit counts as in flight until the worker reads its outcome. Bulk issuance signs before it commits.")
        .experimental();
}
