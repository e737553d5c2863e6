//! Specification of supervision on an assigned thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::thread::ThreadId;
use std::time::{Duration, Instant};

use actix::{Actor, Arbiter, Context, Handler};
use oauth2_actors::error::AskError;
use oauth2_actors::runtime::{
    ActorStatus, Envelope, Policy, Request, Supervised, ThreadAssigner, ThreadPlacement, supervise_on,
};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts its messages.
struct Probe(u32);

impl Actor for Probe {
    type Context = Context<Self>;
}

/// Adds one; replies with the count and the thread.
struct Count;
/// Panics within the handler.
struct Explode;
/// Sleeps on its thread.
struct Freeze(Duration);

impl Request for Count {
    type Reply = (u32, ThreadId);
}
impl Request for Explode {
    type Reply = ();
}
impl Request for Freeze {
    type Reply = ();
}

impl Handler<Envelope<Count>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Count>, _: &mut Context<Self>) {
        self.0 += 1;
        envelope.reply_with(|Count| (self.0, std::thread::current().id()));
    }
}
impl Handler<Envelope<Explode>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Explode>, _: &mut Context<Self>) {
        envelope.reply_with(|Explode| panic!("on request"));
    }
}
impl Handler<Envelope<Freeze>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Freeze>, _: &mut Context<Self>) {
        envelope.reply_with(|Freeze(time)| std::thread::sleep(time));
    }
}

fn probe(policy: Policy) -> (ThreadAssigner, Supervised<Probe>) {
    let (assigner, placement) = ThreadPlacement::assigned();
    (assigner, supervise_on(placement, "probe", policy, |_| Probe(0)))
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

async fn ask<M: Request>(actor: &Supervised<Probe>, message: M) -> Result<M::Reply, AskError>
where
    Probe: Handler<Envelope<M>>,
{
    within(actor.mailbox.ask(message, Instant::now() + PATIENCE)?).await
}

async fn status(actor: &Supervised<Probe>, wanted: ActorStatus) {
    within(actor.status.clone().wait_for(|status| *status == wanted))
        .await
        .unwrap();
}

async fn thread_of(arbiter: &Arbiter) -> ThreadId {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    arbiter.spawn_fn(move || sender.send(std::thread::current().id()).unwrap());
    within(receiver).await.unwrap()
}

#[actix::test]
async fn actor_runs_on_its_assigned_thread() {
    let (assigner, actor) = probe(Policy::default());
    assert_eq!(
        ask(&actor, Count).await,
        Err(AskError::Crashed),
        "no thread is assigned yet"
    );
    let arbiter = Arbiter::new();
    assert!(!assigner.is_assigned());
    assigner.assign(arbiter.handle());
    assert!(assigner.is_assigned());
    within(actor.running()).await.unwrap();
    assert_eq!(ask(&actor, Count).await, Ok((1, thread_of(&arbiter).await)));
}

#[actix::test]
async fn panicked_actor_restarts_with_fresh_state_on_the_same_thread() {
    let (assigner, actor) = probe(Policy::default());
    let arbiter = Arbiter::new();
    assigner.assign(arbiter.handle());
    within(actor.running()).await.unwrap();
    assert_eq!(ask(&actor, Count).await.unwrap().0, 1);
    assert_eq!(ask(&actor, Explode).await, Err(AskError::Crashed));
    status(&actor, ActorStatus::Running).await;
    while actor.mailbox.stats().restarts() == 0 {
        tokio::task::yield_now().await;
    }
    within(actor.running()).await.unwrap();
    assert_eq!(ask(&actor, Count).await, Ok((1, thread_of(&arbiter).await)));
}

#[actix::test]
async fn end_of_the_thread_is_no_crash_and_another_thread_takes_over() {
    let (assigner, actor) = probe(Policy {
        max_restarts: 0,
        ..Policy::default()
    });
    for _ in 0..3 {
        let arbiter = Arbiter::new();
        assigner.assign(arbiter.handle());
        within(actor.running()).await.unwrap();
        assert_eq!(ask(&actor, Count).await, Ok((1, thread_of(&arbiter).await)));
        arbiter.stop();
        status(&actor, ActorStatus::Starting).await;
        arbiter.join().unwrap();
        assert!(!assigner.is_assigned());
        assert_eq!(ask(&actor, Count).await, Err(AskError::Crashed));
    }
    assert_eq!(actor.mailbox.stats().restarts(), 0);
}

#[actix::test]
async fn actor_without_a_thread_stops_when_its_mailbox_closes() {
    let (_assigner, actor) = probe(Policy::default());
    actor.mailbox.close();
    status(&actor, ActorStatus::Stopped).await;
}

#[actix::test]
async fn closing_the_mailbox_stops_the_actor_but_not_the_thread() {
    let (assigner, actor) = probe(Policy::default());
    let arbiter = Arbiter::new();
    assigner.assign(arbiter.handle());
    within(actor.running()).await.unwrap();
    actor.mailbox.close();
    status(&actor, ActorStatus::Stopped).await;
    assert_eq!(ask(&actor, Count).await, Err(AskError::Stopped));
    thread_of(&arbiter).await;
}

/// The actor has no other thread to restart on: a worker that stays frozen ends the process.
#[actix::test]
async fn thread_that_stays_frozen_escalates() {
    let (assigner, actor) = probe(Policy {
        heartbeat: Duration::from_millis(20),
        missed_heartbeats: 3,
        max_restarts: 1,
        ..Policy::default()
    });
    let arbiter = Arbiter::new();
    assigner.assign(arbiter.handle());
    within(actor.running()).await.unwrap();
    assert_eq!(
        ask(&actor, Freeze(Duration::from_secs(2))).await,
        Err(AskError::Crashed)
    );
    status(&actor, ActorStatus::Escalated).await;
}
