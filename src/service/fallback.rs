//! Fallback introspection: the issuer that this server replaces is asked about its opaque tokens, until a date.
//!
//! Only a token that no rule of this server recognizes as its own, and that is no JWT, is sent. What is answered decides no more than
//! whether the token is active there: its client must be registered here, and it may be revoked here.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// In a question to the other issuer, so that it asks nobody else: it may be a server like this one.
pub const HOP_HEADER: &str = "fallback-introspection";

/// After this many questions in a row without an answer, none is asked for [`PAUSE`].
const MAX_FAILURES: u32 = 5;

/// How long an issuer that does not answer is not asked. Then one question is asked, and the next ones after its answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A question that ends sooner, at the deadline of its request, does not count as one without an answer.
const MIN_WAIT: Duration = Duration::from_millis(250);

/// A response with the status 200.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its body.
    pub body: Vec<u8>,
    /// Its `Cache-Control` header.
    pub cache_control: Option<String>,
}

/// Sends a token to the other issuer. Answers its response, or why there is none.
pub type Ask = Arc<dyn Fn(String) -> BoxFuture<'static, std::result::Result<Response, String>> + Send + Sync>;

/// The outcome of a question.
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

/// Stops questions to an issuer that does not answer, so that they do not wait for one another.
#[derive(Debug, Default)]
struct Breaker {
    /// Questions without an answer since the last answer.
    failures: u32,
    /// Until when none is asked.
    paused_until: Option<Instant>,
}

impl Breaker {
    /// Whether a question may be asked. After a pause, this allows one question, and the next after another pause.
    fn may_ask(&mut self, now: Instant) -> bool {
        match self.paused_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.paused_until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    fn record(&mut self, is_answered: bool, now: Instant) {
        if is_answered {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= MAX_FAILURES {
            self.paused_until = Some(now + PAUSE);
        }
    }
}

/// For how long a response may be kept by its `Cache-Control` header (RFC 9111 section 5.2.2).
fn allowed_age(cache_control: &str) -> Duration {
    let mut allowed = Duration::MAX;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim().to_ascii_lowercase();
        let age = match &*name {
            "no-store" | "no-cache" => Duration::ZERO,
            // An unreadable header counts as expired (section 4.2.1).
            "max-age" | "s-maxage" => {
                let seconds = value.trim().trim_matches('"').parse();
                seconds.map_or(Duration::ZERO, Duration::from_secs)
            }
            _ => continue,
        };
        allowed = allowed.min(age);
    }
    allowed
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
    breaker: Mutex<Breaker>,
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
            breaker: Mutex::default(),
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
        let (claims, cache_control) = self
            .answer(token, deadline)
            .await
            .inspect_err(|_| self.add(Outcome::Failed))?;
        let claims = claims.map(Arc::new);
        let kept_for = claims.as_ref().map_or(NEGATIVE, |claims| {
            let left = claims.exp.min(self.until).saturating_sub(now).max(0);
            POSITIVE.min(Duration::from_secs(left.unsigned_abs()))
        });
        let kept_for = kept_for.min(allowed_age(cache_control.as_deref().unwrap_or_default()));
        self.add(if claims.is_some() {
            Outcome::Active
        } else {
            Outcome::Inactive
        });
        if !kept_for.is_zero() {
            let answer = Answer {
                claims: claims.clone(),
                expires: Instant::now() + kept_for,
            };
            self.cache.insert(fingerprint, answer);
        }
        Ok(claims)
    }

    /// Asks the other issuer: the claims of the token if it is active, and the `Cache-Control` header of the response.
    async fn answer(&self, token: &str, deadline: Instant) -> Result<(Option<ForeignClaims>, Option<String>)> {
        let permit = tokio::time::timeout_at(deadline.into(), self.in_flight.acquire()).await;
        let _permit = permit.map_err(|_| AskError::Deadline)?.map_err(|_| AskError::Stopped)?;
        // Also for questions that waited here while others failed.
        if !self.breaker().may_ask(Instant::now()) {
            return Err(ServiceError::FallbackUnavailable);
        }
        let asked_at = Instant::now();
        let response = tokio::time::timeout_at(deadline.into(), (self.ask)(token.to_owned())).await;
        let answer = match response {
            Ok(response) => response.and_then(|response| {
                let claims = foreign::introspected(token, &response.body).map_err(|error| error.to_string())?;
                Ok((claims, response.cache_control))
            }),
            // It was asked too late to say that it does not answer.
            Err(_) if asked_at.elapsed() < MIN_WAIT => return Err(AskError::Deadline.into()),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        self.breaker().record(answer.is_ok(), Instant::now());
        answer.map_err(|why| {
            tracing::warn!(why, "the fallback introspection failed");
            ServiceError::FallbackUnavailable
        })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_as_their_header_allows() {
        let seconds = Duration::from_secs;
        for (header, allowed) in [
            ("", Duration::MAX),
            ("private", Duration::MAX),
            ("no-store", seconds(0)),
            ("private, No-Cache, max-age=50", seconds(0)),
            ("max-age=50", seconds(50)),
            ("max-age=\"7\" , s-maxage=9", seconds(7)),
            ("max-age=soon", seconds(0)),
            ("max-age=-1", seconds(0)),
        ] {
            assert_eq!(allowed_age(header), allowed, "{header}");
        }
    }

    #[test]
    fn an_issuer_that_does_not_answer_is_asked_once_per_pause() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for _ in 1..MAX_FAILURES {
            breaker.record(false, start);
            assert!(breaker.may_ask(start), "a few failures are no outage");
        }
        breaker.record(false, start);
        assert!(!breaker.may_ask(start) && !breaker.may_ask(start + PAUSE / 2));
        let later = start + PAUSE;
        assert!(breaker.may_ask(later), "one question");
        assert!(!breaker.may_ask(later), "and no other meanwhile");
        breaker.record(false, later);
        assert!(!breaker.may_ask(later + PAUSE / 2));
        breaker.record(true, later);
        assert!(breaker.may_ask(later) && breaker.may_ask(later));
    }
}
