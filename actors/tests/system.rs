//! Specification of `ActorSystem`: it remembers every actor that it started.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use actix::{Actor, Arbiter, Context, Handler};
use oauth2_actors::error::AskError;
use oauth2_actors::runtime::{ActorStatus, ActorSystem, Envelope, Policy, Request, ThreadPlacement};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Probe;

impl Actor for Probe {
    type Context = Context<Self>;
}

/// Panics within the handler.
struct Explode;

impl Request for Explode {
    type Reply = ();
}

impl Handler<Envelope<Explode>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Explode>, _: &mut Context<Self>) {
        envelope.reply_with(|Explode| panic!("on request"));
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

fn names(system: &ActorSystem) -> Vec<&'static str> {
    system.statuses().into_iter().map(|(name, _)| name).collect()
}

#[actix::test]
async fn lists_every_actor_with_its_status_and_mailbox() {
    let mut system = ActorSystem::default();
    let first = system.supervise("first", Policy::default(), |_| Probe);
    let (assigner, placement) = ThreadPlacement::assigned();
    system.supervise_on(placement, "second", Policy::default(), |_| Probe);
    assigner.assign(Arbiter::current());
    assert_eq!(names(&system), ["first", "second"]);
    for (_, mut status) in system.statuses() {
        within(status.wait_for(|status| *status == ActorStatus::Running))
            .await
            .unwrap();
    }
    let exploded = first.ask(Explode, Instant::now() + PATIENCE).unwrap();
    assert_eq!(within(exploded).await, Err(AskError::Crashed));
    let crashed = system.watched_mailboxes().into_iter();
    let crashed: Vec<_> = crashed
        .map(|mailbox| (mailbox.name(), mailbox.stats().sheds().crashed))
        .collect();
    assert_eq!(crashed, [("first", 1), ("second", 0)]);
}

#[actix::test]
async fn an_actor_beyond_its_restart_limit_escalates_and_a_stopped_one_does_not() {
    let mut system = ActorSystem::default();
    assert!(futures_util::poll!(std::pin::pin!(system.escalated())).is_pending());
    let policy = Policy {
        max_restarts: 0,
        ..Policy::default()
    };
    let stopped = system.supervise("stopped", policy, |_| Probe);
    let given_up = system.supervise("given_up", policy, |_| Probe);
    for (_, mut status) in system.statuses() {
        within(status.wait_for(|status| *status == ActorStatus::Running))
            .await
            .unwrap();
    }
    stopped.close();
    let mut status = system.statuses().remove(0).1;
    within(status.wait_for(|status| *status == ActorStatus::Stopped))
        .await
        .unwrap();
    let escalated = system.escalated();
    let mut escalated = std::pin::pin!(escalated);
    assert!(futures_util::poll!(&mut escalated).is_pending());
    let exploding = given_up.ask(Explode, Instant::now() + PATIENCE).unwrap();
    assert_eq!(within(exploding).await, Err(AskError::Crashed));
    assert_eq!(within(escalated).await, "given_up");
}
