//! The published set of revocations.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use uuid::Uuid;

use crate::freshness::Freshness;
use oauth2_store::model::token::{is_before_client_version, uuid_v7_ms};
use oauth2_store::model::{MAX_TOKEN_LIFETIME, Revocation, RevocationTarget};

/// How long a revocation is kept after its last token has expired, as in the store. A clock that is wrong for a while must
/// not make a revoked token valid again.
const GRACE_MS: u64 = 3_600_000;

/// The revoked token ids, and the cut-offs of clients, users, keys and the issuer.
#[derive(Debug, Default)]
pub struct RevocationView {
    /// Revoked ids, with the expiry of their tokens in Unix seconds.
    tokens: DashMap<Uuid, i64>,
    clients: DashMap<Box<str>, ClientCutOff>,
    /// Cut-offs in Unix milliseconds.
    users: DashMap<Box<str>, u64>,
    keys: DashMap<Box<str>, u64>,
    issuer: AtomicU64,
    freshness: Freshness,
    /// The incarnation of the actor that filled it, counted from 1.
    pub(super) generation: u64,
}

/// The cut-off of a client.
#[derive(Debug, Clone, Copy, Default)]
struct ClientCutOff {
    /// Tokens up to this millisecond are revoked, Unix time.
    ms: u64,
    /// Tokens decided by an earlier version of the client are revoked.
    version: i64,
}

/// The attributes of a token that decide whether it is revoked.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The token's id.
    pub jti: Uuid,
    /// The client it was issued to.
    pub client_id: &'a str,
    /// The user it stands for, if any.
    pub user_id: Option<&'a str>,
    /// The key that signed it, if any.
    pub kid: Option<&'a str>,
}

impl RevocationView {
    /// An empty view of an incarnation of the actor.
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Whether the token is revoked: by its id, by a cut-off at or after the millisecond of its `jti`, or because a cut-off of
    /// its client is of a later version than the one that decided the token.
    pub fn is_revoked(&self, token: Subject<'_>) -> bool {
        let is_decided_earlier = |cutoff: &ClientCutOff| is_before_client_version(&token.jti, cutoff.version);
        self.is_covered(token, uuid_v7_ms(&token.jti), is_decided_earlier)
    }

    /// Whether a token that another server issued is revoked here: by its id, or by a cut-off at or after the time when it was issued,
    /// Unix milliseconds.
    pub fn is_foreign_revoked(&self, token: Subject<'_>, issued_ms: u64) -> bool {
        self.is_covered(token, issued_ms, |_| false)
    }

    fn is_covered(&self, token: Subject<'_>, issued_ms: u64, or: impl Fn(&ClientCutOff) -> bool) -> bool {
        let is_cut_off = |map: &DashMap<Box<str>, u64>, id: Option<&str>| {
            id.and_then(|id| map.get(id)).is_some_and(|cutoff| issued_ms <= *cutoff)
        };
        issued_ms <= self.issuer.load(Ordering::Acquire)
            || self.tokens.contains_key(&token.jti)
            || self
                .clients
                .get(token.client_id)
                .is_some_and(|cutoff| issued_ms <= cutoff.ms || or(&cutoff))
            || is_cut_off(&self.users, token.user_id)
            || is_cut_off(&self.keys, token.kid)
    }

    /// When the view last agreed with the store.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The number of token ids and cut-offs, without that of the issuer.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.clients.len() + self.users.len() + self.keys.len()
    }

    /// Whether the view holds no revocation, or only a cut-off of the issuer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of cut-offs after a time, Unix milliseconds.
    pub fn cut_offs_after(&self, ms: u64) -> usize {
        let of = |map: &DashMap<Box<str>, u64>| map.iter().filter(|cutoff| **cutoff > ms).count();
        let issuer = usize::from(self.issuer.load(Ordering::Acquire) > ms);
        let clients = self.clients.iter().filter(|cutoff| cutoff.ms > ms).count();
        issuer + clients + of(&self.users) + of(&self.keys)
    }

    /// Adds a revocation. A cut-off is never lowered.
    pub(super) fn apply(&self, revocation: &Revocation) {
        let raise = |map: &DashMap<Box<str>, u64>, id: &str| {
            let mut cutoff = map.entry(id.into()).or_insert(0);
            *cutoff = (*cutoff).max(revocation.cutoff_ms);
        };
        match &revocation.target {
            RevocationTarget::Token { jti, expires_at } => {
                self.tokens.insert(*jti, *expires_at);
            }
            RevocationTarget::Client(id) => {
                let mut cutoff = self.clients.entry(id.as_str().into()).or_default();
                cutoff.ms = cutoff.ms.max(revocation.cutoff_ms);
                cutoff.version = cutoff.version.max(revocation.client_version);
            }
            RevocationTarget::User(id) => raise(&self.users, id),
            RevocationTarget::Key(kid) => raise(&self.keys, kid),
            RevocationTarget::Issuer => {
                self.issuer.fetch_max(revocation.cutoff_ms, Ordering::AcqRel);
            }
        }
    }

    /// Drops revocations that affect no unexpired token at `now_ms`, with an hour of grace.
    pub(super) fn purge(&self, now_ms: u64) {
        let now_ms = now_ms.saturating_sub(GRACE_MS);
        let now = (now_ms / 1000) as i64;
        self.tokens.retain(|_, expires_at| *expires_at >= now);
        let oldest = now_ms.saturating_sub(MAX_TOKEN_LIFETIME.unsigned_abs() * 1000);
        self.clients.retain(|_, cutoff| cutoff.ms >= oldest);
        for map in [&self.users, &self.keys] {
            map.retain(|_, cutoff| *cutoff >= oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oauth2_store::model::token::with_client_version;

    fn issued_at(ms: u64) -> Uuid {
        Uuid::from_u128((u128::from(ms) << 80) | (7 << 76) | 1)
    }

    fn subject(jti: Uuid) -> Subject<'static> {
        Subject {
            jti,
            client_id: "ci",
            user_id: Some("ada"),
            kid: Some("k1"),
        }
    }

    #[test]
    fn a_cut_off_revokes_its_own_millisecond_and_nothing_later() {
        let targets = [
            RevocationTarget::Client("ci".into()),
            RevocationTarget::User("ada".into()),
            RevocationTarget::Key("k1".into()),
            RevocationTarget::Issuer,
        ];
        for target in targets {
            let view = RevocationView::default();
            view.apply(&Revocation::new(target, 1000));
            assert!(view.is_revoked(subject(issued_at(999))));
            assert!(view.is_revoked(subject(issued_at(1000))));
            assert!(!view.is_revoked(subject(issued_at(1001))));
        }
    }

    #[test]
    fn a_cut_off_revokes_later_tokens_that_an_earlier_version_of_the_client_decided() {
        let view = RevocationView::default();
        view.apply(&Revocation::of_client("ci", 1000, 3));
        let decided_by = |version| subject(with_client_version(issued_at(2000), version));
        assert!(view.is_revoked(decided_by(2)));
        assert!(!view.is_revoked(decided_by(3)));
        assert!(!view.is_revoked(decided_by(4)));
        // By time only: as a node of the previous version writes it.
        view.apply(&Revocation::of_client("ci", 1500, 0));
        assert!(view.is_revoked(decided_by(2)));
        assert!(!view.is_revoked(decided_by(3)));
        assert!(view.is_revoked(subject(with_client_version(issued_at(1500), 3))));
    }

    #[test]
    fn an_earlier_cut_off_never_lowers_a_later_one() {
        let view = RevocationView::default();
        for cutoff_ms in [1000, 500] {
            view.apply(&Revocation::of_client("ci", cutoff_ms, 0));
        }
        assert!(view.is_revoked(subject(issued_at(1000))));
    }

    #[test]
    fn revocations_of_expired_tokens_are_purged() {
        let view = RevocationView::default();
        let token = |expires_at| RevocationTarget::Token {
            jti: issued_at(expires_at as u64),
            expires_at,
        };
        view.apply(&Revocation::new(token(10), 0));
        view.apply(&Revocation::new(token(30), 0));
        view.purge(20_000 + GRACE_MS);
        assert!(!view.is_revoked(subject(issued_at(10))));
        assert!(view.is_revoked(subject(issued_at(30))));
    }
}
