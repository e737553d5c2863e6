//! The lease of one client: how many tokens it may be issued, and how many to ask the store for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oauth2_store::model::{LeaseGrant, LeaseRequest, Quotas, Usage, Window};
use tokio::sync::Notify;

use super::counters::{QuotaError, SET_BACK, WindowUsage};

/// How long a lease should last.
const SPAN: Duration = Duration::from_millis(100);

/// A quota that is used up is asked for again after this time: other nodes may have returned what they leased.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// After a failure of the store, requests fail for this time without asking again.
const FAIL: Duration = Duration::from_millis(100);

/// The largest lease.
const MAX: u64 = 4096;

const WINDOWS: usize = Window::ALL.len();

/// The lease of one client.
#[derive(Debug)]
pub(super) struct Leased {
    client_id: Arc<str>,
    state: Mutex<State>,
    /// Notified when a lease came, or could not be had.
    pub(super) changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    quotas: Quotas,
    /// The windows that the lease is of: starts and ends, Unix seconds.
    windows: [(i64, i64); WINDOWS],
    /// Used in each, by all nodes and with all leases, as of the last answer.
    used: [u64; WINDOWS],
    /// Tokens that may be issued.
    pub(super) left: u64,
    /// The lease's size when it came, and what will be asked for next.
    size: u64,
    want: u64,
    /// Requests that wait for it since it was asked for last. Who still waits then is counted again.
    pub(super) waiting: u64,
    pub(super) is_asked: bool,
    asked_at: Option<Instant>,
    /// A quota was used up then.
    pub(super) exhausted_at: Option<Instant>,
    pub(super) failed_at: Option<Instant>,
    pub(super) spent_at: Instant,
    /// Whether no token is issued any more: the process ends.
    pub(super) is_closed: bool,
    /// Usage to return to the store.
    pub(super) returns: Vec<Usage>,
}

/// A token that is counted before it is issued. Dropping it uncounts the token, unless it was kept.
#[derive(Debug)]
pub struct LeasedToken {
    leased: Arc<Leased>,
    windows: [(i64, i64); WINDOWS],
    kept: bool,
    /// The client's usage, this token included.
    pub usage: [WindowUsage; WINDOWS],
}

impl LeasedToken {
    /// Keeps the token counted: it was issued.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for LeasedToken {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut state = self.leased.lock();
        if state.windows == self.windows && !state.is_closed {
            state.left += 1;
            return;
        }
        // To the windows that go on.
        let starts = self.windows.map(|(start, _)| start);
        state.return_to(&self.leased.client_id, &starts, 1);
    }
}

/// The outcome of taking a token.
pub(super) enum Take {
    /// A token.
    Taken(LeasedToken),
    /// A quota is used up.
    Exceeded(QuotaError),
    /// The store failed.
    Failed,
    /// A lease must come first.
    Wait,
}

impl Leased {
    pub(super) fn new(client_id: &str, quotas: Quotas) -> Self {
        Self {
            client_id: client_id.into(),
            state: Mutex::new(State {
                quotas,
                windows: [(0, 0); WINDOWS],
                used: [0; WINDOWS],
                left: 0,
                size: 0,
                want: 1,
                waiting: 0,
                is_asked: false,
                asked_at: None,
                exhausted_at: None,
                failed_at: None,
                spent_at: Instant::now(),
                is_closed: false,
                returns: Vec::new(),
            }),
            changed: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a token from the lease. The second value: whether the store is to be asked for another one.
    pub(super) fn take(self: &Arc<Self>, quotas: &Quotas, now: i64) -> (Take, bool) {
        let mut state = self.lock();
        state.roll_over(&self.client_id, now);
        if state.quotas != *quotas {
            state.quotas = *quotas;
            state.exhausted_at = None;
        }
        state.spent_at = Instant::now();
        if state.left > 0 {
            state.left -= 1;
            let is_low = state.left < state.size / 2 && state.exhausted_at.is_none();
            let token = LeasedToken {
                leased: Arc::clone(self),
                windows: state.windows,
                kept: false,
                usage: state.usage(),
            };
            return (Take::Taken(token), is_low && state.is_to_be_asked());
        }
        let within = |at: Option<Instant>, time: Duration| at.is_some_and(|at| at.elapsed() < time);
        if within(state.exhausted_at, ASK_AGAIN)
            && let Some(exceeded) = state.exceeded()
        {
            return (Take::Exceeded(exceeded), false);
        }
        if within(state.failed_at, FAIL) {
            return (Take::Failed, false);
        }
        state.waiting += 1;
        let ask = state.is_to_be_asked();
        (Take::Wait, ask)
    }
}

impl State {
    /// Whether a quota of a current window was found used up.
    pub(super) fn is_over(&self, now: i64) -> bool {
        let is_current = self.windows.iter().all(|(_, end)| now < *end);
        is_current && self.exhausted_at.is_some() && self.exceeded().is_some()
    }

    /// Begins new windows. The rest of the lease is returned to the windows that have not ended.
    fn roll_over(&mut self, client_id: &str, now: i64) {
        // Where the clock was set back by less, the latest windows go on.
        let is_over = |(start, end): &(i64, i64)| now >= *end || *start > now + SET_BACK;
        if !self.windows.iter().any(is_over) {
            return;
        }
        self.give_back(client_id);
        for ((window, bounds), used) in Window::ALL.iter().zip(&mut self.windows).zip(&mut self.used) {
            if is_over(bounds) {
                (*bounds, *used) = (window.bounds_at(now), 0);
            }
        }
        self.exhausted_at = None;
    }

    /// Moves the lease to what is to be returned.
    pub(super) fn give_back(&mut self, client_id: &str) {
        let left = std::mem::take(&mut self.left);
        if left == 0 {
            return;
        }
        for used in &mut self.used {
            *used = used.saturating_sub(left);
        }
        let starts = self.windows.map(|(start, _)| start);
        self.return_to(client_id, &starts, left);
    }

    /// Leaves tokens to be returned to the windows with these starts.
    fn return_to(&mut self, client_id: &str, starts: &[i64; WINDOWS], tokens: u64) {
        let windows = Window::ALL.iter().zip(starts);
        self.returns.extend(windows.map(|(window, start)| Usage {
            client_id: client_id.to_owned(),
            window: *window,
            start: *start,
            used: tokens,
        }));
    }

    /// Whether the store is to be asked, and is not being asked. The caller must do it.
    fn is_to_be_asked(&mut self) -> bool {
        !std::mem::replace(&mut self.is_asked, true)
    }

    /// Used tokens, without the tokens that are leased here.
    fn usage(&self) -> [WindowUsage; WINDOWS] {
        std::array::from_fn(|index| {
            let (began_at, ends_at) = self.windows[index];
            WindowUsage {
                window: Window::ALL[index],
                used: self.used[index].saturating_sub(self.left),
                began_at,
                ends_at,
            }
        })
    }

    pub(super) fn exceeded(&self) -> Option<QuotaError> {
        let usage = self.usage();
        let is_used_up = |usage: &&WindowUsage| {
            let quota = usage.window.quota(&self.quotas);
            quota.is_some_and(|quota| usage.used >= quota)
        };
        let resets_at = usage.iter().filter(is_used_up).map(|usage| usage.ends_at).max()?;
        Some(QuotaError::Exceeded { usage, resets_at })
    }

    /// The next request to the store. The faster the last lease was used up, the larger.
    pub(super) fn request(&mut self, client_id: &str) -> LeaseRequest {
        let lasted = self.asked_at.map(|at| at.elapsed());
        self.want = match lasted {
            // The store is asked when half of a lease is used up.
            Some(lasted) if lasted < SPAN / 2 => (self.want * 2).min(MAX),
            Some(lasted) if lasted > SPAN * 2 => (self.want / 2).max(1),
            _ => self.want,
        };
        self.asked_at = Some(Instant::now());
        LeaseRequest {
            client_id: client_id.to_owned(),
            want: self.want.max(self.waiting),
            starts: self.windows.map(|(start, _)| start),
            quotas: self.quotas,
        }
    }

    /// Applies what the store granted.
    pub(super) fn add(&mut self, request: &LeaseRequest, grant: &LeaseGrant) {
        self.failed_at = None;
        if request.starts != self.windows.map(|(start, _)| start) {
            // A window ended meanwhile: the lease is returned to the windows that have not ended.
            self.return_to(&request.client_id, &request.starts, grant.granted);
            return;
        }
        // Another node, whose clock is ahead, has begun a later window.
        for ((window, bounds), start) in Window::ALL.iter().zip(&mut self.windows).zip(grant.starts) {
            if start > bounds.0 {
                *bounds = window.bounds_at(start);
            }
        }
        self.used = grant.used;
        self.left += grant.granted;
        self.size = self.left;
        let is_exhausted = grant.granted == 0 && self.exceeded().is_some();
        self.exhausted_at = is_exhausted.then(Instant::now);
        if is_exhausted {
            self.want = 1;
        }
    }
}
