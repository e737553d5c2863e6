//! Judges the history of a load: what must hold for every node under every fault.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::Nodes;
use super::load::{Answer, Clients, History, QUOTA};

/// Twice the second that a request may take.
const IN_TIME: Duration = Duration::from_secs(2);

/// Twice the second within which every connection to the store is a good one again.
const RECOVERY: Duration = Duration::from_secs(2);

/// A response of the store that is on its way arrives within it.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Tokens that are introspected with one request.
const BATCH: usize = 100;

/// Requests that the limited client's buckets refill by during a load.
const REFILLED: usize = 4;

/// Answers that a fault excuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Excuse {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) kind: Kind,
}

/// The effect of a fault on answers that overlap it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The process of this node was stopped: it answers when it goes on.
    Paused(usize),
    /// The process of this node was killed and started again.
    Killed(usize),
    /// The store serves none or not all requests: 503, within the deadline. Nodes read of revocations later.
    Store,
    /// The same, for this node only.
    CutOff(usize),
}

/// A time in which nothing of the store reached this node, or any (`None`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    node: Option<usize>,
    began: Instant,
    ended: Instant,
}

impl Silence {
    /// From now on.
    pub(super) async fn of(node: Option<usize>, lasts: Duration) -> Silence {
        // Responses on their way may still arrive.
        tokio::time::sleep(ON_ITS_WAY).await;
        let began = Instant::now();
        tokio::time::sleep(lasts).await;
        Silence {
            node,
            began,
            ended: Instant::now(),
        }
    }
}

impl Excuse {
    fn overlaps(&self, began: Instant, ended: Instant) -> bool {
        self.began <= ended && began <= self.ended
    }

    fn contains(&self, time: Instant) -> bool {
        (self.began..=self.ended).contains(&time)
    }

    /// Whether the process itself could not answer.
    fn is_of_process(&self) -> bool {
        matches!(self.kind, Kind::Paused(_) | Kind::Killed(_))
    }

    fn is_of(&self, node: usize) -> bool {
        match self.kind {
            Kind::Paused(of) | Kind::Killed(of) | Kind::CutOff(of) => of == node,
            Kind::Store => true,
        }
    }
}

/// The rules, and their exceptions.
#[derive(Debug)]
pub(super) struct Rules {
    /// The time after which a revocation holds on another node.
    pub(super) seen_within: Duration,
    /// The time after which it holds there in any case.
    pub(super) stale_after: Duration,
    /// Requests that the client with a rate may make: by its bucket in Redis, and by those of the nodes, which a busy machine uses, too.
    pub(super) by_rate: usize,
    pub(super) excuses: Vec<Excuse>,
    pub(super) silences: Vec<Silence>,
}

impl Rules {
    pub(super) fn new(seen_within: Duration, by_rate: usize) -> Rules {
        Rules {
            seen_within,
            stale_after: Duration::from_secs(5),
            by_rate,
            excuses: Vec::new(),
            silences: Vec::new(),
        }
    }

    /// Records a fault that begins now and ends when `during` does.
    pub(super) async fn during(&mut self, kind: Kind, during: impl Future<Output = ()>) {
        let began = Instant::now();
        during.await;
        let ended = match kind {
            Kind::Store | Kind::CutOff(_) => Instant::now() + RECOVERY,
            Kind::Paused(_) | Kind::Killed(_) => Instant::now(),
        };
        self.excuses.push(Excuse { began, ended, kind });
    }

    fn excuses(&self, node: usize, began: Instant, ended: Instant) -> impl Iterator<Item = &Excuse> {
        let are = move |excuse: &&Excuse| excuse.is_of(node) && excuse.overlaps(began, ended);
        self.excuses.iter().filter(are)
    }

    /// Every sentence that does not hold, the first of each kind.
    pub(super) fn problems(&self, history: &History) -> Vec<String> {
        let mut problems = Vec::new();
        let mut note = |problem: Option<String>| {
            if let Some(problem) = problem
                && problems.len() < 20
            {
                problems.push(problem);
            }
        };
        let mut known_inactive = HashMap::new();
        let mut in_order: Vec<_> = history.answers.iter().collect();
        in_order.sort_by_key(|answer| answer.ended);
        for answer in in_order {
            note(self.failure(answer));
            note(self.lateness(answer));
            let Some((token, is_active)) = answer.verdict else {
                continue;
            };
            note(self.falsehood(history, answer, token, is_active));
            note(self.staleness(answer));
            if !is_active {
                known_inactive.entry((token, answer.node)).or_insert(answer.ended);
            } else if known_inactive
                .get(&(token, answer.node))
                .is_some_and(|since| *since < answer.began)
            {
                note(Some(format!("a token is active again on node {}", answer.node)));
            }
        }
        let rate = self.by_rate + REFILLED;
        if history.by_rate > rate {
            note(Some(format!(
                "{} requests by the rate, allowed are {rate}",
                history.by_rate
            )));
        }
        if history.by_quota > QUOTA {
            note(Some(format!("{} requests by the quota of {QUOTA}", history.by_quota)));
        }
        problems
    }

    fn failure(&self, answer: &Answer) -> Option<String> {
        let is_excused = match answer.status {
            Some(StatusCode::OK) => true,
            // Of clients with limits only; the others have none.
            Some(StatusCode::TOO_MANY_REQUESTS) => answer.what == "token",
            Some(StatusCode::SERVICE_UNAVAILABLE) => {
                answer.has_retry_after && self.excuses(answer.node, answer.began, answer.ended).count() > 0
            }
            // While the process was stopped, the time to read the request passed, or that of the connection.
            Some(StatusCode::REQUEST_TIMEOUT) | None => {
                let mut excuses = self.excuses(answer.node, answer.began, answer.ended);
                excuses.any(Excuse::is_of_process)
            }
            Some(_) => false,
        };
        (!is_excused).then(|| {
            format!(
                "{} on node {}: {:?}, Retry-After: {}",
                answer.what, answer.node, answer.status, answer.has_retry_after
            )
        })
    }

    fn lateness(&self, answer: &Answer) -> Option<String> {
        let mut excuses = self.excuses(answer.node, answer.began, answer.ended);
        let is_paused = excuses.any(Excuse::is_of_process);
        let took = answer.ended - answer.began;
        (!is_paused && took > IN_TIME).then(|| format!("{} on node {} took {took:?}", answer.what, answer.node))
    }

    /// A verdict, right or wrong, from views that the store cannot have confirmed in time.
    fn staleness(&self, answer: &Answer) -> Option<String> {
        let is_stale = |silence: &Silence| {
            silence.node.is_none_or(|node| node == answer.node)
                && answer.began > silence.began + self.stale_after
                && answer.ended < silence.ended
        };
        let is_stale = self.silences.iter().any(is_stale);
        is_stale.then(|| format!("node {} answers from views that are too old", answer.node))
    }

    /// When a node can have decided an answer at the earliest: a stopped process decides none.
    fn decided(&self, answer: &Answer) -> Instant {
        let pauses = self.pauses_of(answer.node);
        let waited = pauses.filter(|pause| pause.contains(answer.began) && pause.ended <= answer.ended);
        waited.map(|pause| pause.ended).max().unwrap_or(answer.began)
    }

    fn pauses_of(&self, node: usize) -> impl Iterator<Item = &Excuse> {
        self.excuses
            .iter()
            .filter(move |excuse| excuse.kind == Kind::Paused(node))
    }

    fn falsehood(&self, history: &History, answer: &Answer, token: usize, is_active: bool) -> Option<String> {
        let token = &history.tokens[token];
        if !is_active {
            let is_live = token.revoking.is_none_or(|revoking| answer.ended < revoking);
            return is_live.then(|| format!("a token that nobody revoked is inactive on node {}", answer.node));
        }
        let (revoked, on) = token.revoked?;
        let decided = self.decided(answer);
        if answer.began <= revoked {
            return None;
        }
        let mut pauses = self.pauses_of(answer.node);
        let was_paused = pauses.any(|pause| pause.contains(revoked) && pause.ended <= decided);
        let is_cut_off = self
            .excuses(answer.node, revoked, decided)
            .any(|excuse| !excuse.is_of_process());
        let bound = if answer.node == on || was_paused {
            // A process that goes on reads the log before it answers: its view is too old.
            Duration::ZERO
        } else if is_cut_off {
            self.stale_after
        } else {
            self.seen_within
        };
        let since = decided - revoked;
        (since > bound).then(|| {
            format!(
                "a token that was revoked on node {on} is active on node {} {since:?} later",
                answer.node
            )
        })
    }
}

/// Introspects every token on every node once all are ready: acknowledged tokens and revocations hold.
pub(super) async fn settled(nodes: &Nodes, history: &History, clients: &Clients) {
    let ordinary: Vec<&str> = history.tokens.iter().map(|token| token.value.as_str()).collect();
    let by_secret: Vec<&str> = history.rotated.iter().map(|token| token.value.as_str()).collect();
    let rotated = clients.rotated.lock().unwrap().0.clone();
    nodes.are_ready().await;
    for node in &nodes.0 {
        for (number, chunk) in ordinary.chunks(BATCH).enumerate() {
            let answers = node.introspect_batch(&clients.ordinary, chunk).await;
            for (token, answer) in history.tokens[number * BATCH..].iter().zip(answers.as_array().unwrap()) {
                let is_active = answer["active"].as_bool().unwrap();
                assert!(!is_active || token.revoked.is_none(), "a revoked token is active");
                assert!(is_active || token.revoking.is_some(), "an acknowledged token is lost");
            }
        }
        let last = history.replaced.last().copied();
        for (number, chunk) in by_secret.chunks(BATCH).enumerate() {
            let answers = node.introspect_batch(&rotated, chunk).await;
            for (token, answer) in history.rotated[number * BATCH..]
                .iter()
                .zip(answers.as_array().unwrap())
            {
                let is_active = answer["active"].as_bool().unwrap();
                let is_replaced = token.secret < history.replaced.len();
                assert!(!is_active || !is_replaced, "a token of a replaced secret is active");
                let is_current = !is_replaced && last.is_none_or(|last| last < token.began);
                assert!(is_active || !is_current, "a token of the current secret is inactive");
            }
        }
    }
}
