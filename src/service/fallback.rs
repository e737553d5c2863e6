//! Fallback introspection: the issuer that this server replaces is asked about its opaque tokens, until a date.
//!
//! Only a token that no rule of this server recognizes as its own, and that is no JWT, is sent. What is answered decides no more than
//! whether the token is active there: its client must be registered here, and it may be revoked here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use oauth2_actors::error::AskError;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::error::{Result, ServiceError};
use crate::tokens::fingerprint::{Fingerprint, Fingerprints};
use crate::tokens::foreign::{self, ForeignClaims};

/// The most answers that are cached.
const CACHED: usize = 10_000;

/// The longest that an active token is answered from the cache.
const POSITIVE: Duration = Duration::from_mins(1);

/// How long an inactive token is answered from the cache.
const NEGATIVE: Duration = Duration::from_secs(10);

/// Sends a token to the other issuer. Answers the body of a response with the status 200, or why there is none.
pub type Ask = Arc<dyn Fn(String) -> BoxFuture<'static, std::result::Result<Vec<u8>, String>> + Send + Sync>;

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The other issuer said that the token is active.
    Active,
    /// The other issuer said that the token is inactive, or nothing that can be used.
    Inactive,
    /// Answered from the cache.
    Cached,
    /// The other issuer did not answer.
    Failed,
}

impl Outcome {
    /// Every outcome, in order.
    pub const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Cached, Self::Failed];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Cached => "cached",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone)]
struct Answer {
    claims: Option<Arc<ForeignClaims>>,
    expires: Instant,
}

/// Asks the issuer that this server replaces.
pub struct Fallback {
    ask: Ask,
    until: i64,
    clock: Arc<StoreClock>,
    fingerprints: Fingerprints,
    cache: Cache<Fingerprint, Answer>,
    in_flight: Semaphore,
    counts: [AtomicU64; 4],
    has_reported_end: AtomicBool,
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Fallback {
    /// `until`: from when the other issuer is not asked any more, Unix seconds. `max_in_flight`: the most questions at a time.
    pub fn new(ask: Ask, until: i64, max_in_flight: usize, clock: Arc<StoreClock>, fingerprints: Fingerprints) -> Self {
        Self {
            ask,
            until,
            clock,
            fingerprints,
            cache: Cache::new(CACHED),
            in_flight: Semaphore::new(max_in_flight),
            counts: Default::default(),
            has_reported_end: AtomicBool::new(false),
        }
    }

    /// From when the other issuer is not asked any more, Unix seconds.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// How often a question had this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// The claims of an opaque token, if the other issuer says that it is active. `Ok(None)` also for tokens that it is not asked about.
    /// An error if it does not answer: whether the token is active is not known then.
    pub async fn claims(&self, token: &str, deadline: Instant) -> Result<Option<Arc<ForeignClaims>>> {
        let now = (self.clock.unix_ms() / 1000) as i64;
        if !foreign::may_be_opaque(token) {
            return Ok(None);
        }
        if now >= self.until {
            self.report_end();
            return Ok(None);
        }
        let fingerprint = self.fingerprints.of(token);
        if let Some(answer) = self
            .cache
            .get(&fingerprint)
            .filter(|answer| answer.expires > Instant::now())
        {
            self.add(Outcome::Cached);
            return Ok(answer.claims);
        }
        let asked = tokio::time::timeout_at(deadline.into(), async {
            let _permit = self.in_flight.acquire().await.map_err(|_| AskError::Stopped)?;
            Ok::<_, AskError>((self.ask)(token.to_owned()).await)
        });
        let answered = asked.await.map_err(|_| AskError::Deadline);
        let body = match answered {
            Ok(Ok(Ok(body))) => body,
            Ok(Ok(Err(why))) => {
                self.add(Outcome::Failed);
                tracing::warn!(why, "the fallback introspection failed");
                return Err(ServiceError::FallbackUnavailable);
            }
            Ok(Err(error)) | Err(error) => {
                self.add(Outcome::Failed);
                return Err(error.into());
            }
        };
        let Ok(claims) = foreign::introspected(token, &body) else {
            self.add(Outcome::Failed);
            tracing::warn!("the fallback introspection answered something else than an introspection response");
            return Err(ServiceError::FallbackUnavailable);
        };
        let claims = claims.map(Arc::new);
        let kept_for = claims.as_ref().map_or(NEGATIVE, |claims| {
            let left = claims.exp.min(self.until).saturating_sub(now).max(0);
            POSITIVE.min(Duration::from_secs(left.unsigned_abs()))
        });
        self.add(if claims.is_some() {
            Outcome::Active
        } else {
            Outcome::Inactive
        });
        self.cache.insert(
            fingerprint,
            Answer {
                claims: claims.clone(),
                expires: Instant::now() + kept_for,
            },
        );
        Ok(claims)
    }

    /// Logs once that the other issuer is not asked any more.
    fn report_end(&self) {
        if !self.has_reported_end.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "OAUTH2_FALLBACK_INTROSPECTION_UNTIL has passed: opaque tokens of the previous issuer are inactive, and it is not asked any more"
            );
        }
    }

    fn add(&self, outcome: Outcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}
