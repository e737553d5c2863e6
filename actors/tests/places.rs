//! What supervision promises of an actor on a thread that is lent to it.
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
use oauth2_actors::runtime::{ActorStatus, Envelope, Lender, Place, Policy, Request, Supervised, supervise_at};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts what it is asked.
struct Probe(u32);

impl Actor for Probe {
    type Context = Context<Self>;
}

/// Adds one; answers the count and the thread.
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
        envelope.answer(|Count| (self.0, std::thread::current().id()));
    }
}
impl Handler<Envelope<Explode>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Explode>, _: &mut Context<Self>) {
        envelope.answer(|Explode| panic!("told to"));
    }
}
impl Handler<Envelope<Freeze>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Freeze>, _: &mut Context<Self>) {
        envelope.answer(|Freeze(time)| std::thread::sleep(time));
    }
}

fn probe(policy: Policy) -> (Lender, Supervised<Probe>) {
    let (lender, place) = Place::lent();
    (lender, supervise_at(place, "probe", policy, |_| Probe(0)))
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
    let (tell, told) = tokio::sync::oneshot::channel();
    arbiter.spawn_fn(move || tell.send(std::thread::current().id()).unwrap());
    within(told).await.unwrap()
}

#[actix::test]
async fn it_lives_on_the_thread_it_was_lent() {
    let (lender, actor) = probe(Policy::default());
    assert_eq!(
        ask(&actor, Count).await,
        Err(AskError::Crashed),
        "there is no thread yet"
    );
    let arbiter = Arbiter::new();
    assert!(!lender.is_taken());
    lender.lend(arbiter.handle());
    assert!(lender.is_taken());
    within(actor.running()).await.unwrap();
    assert_eq!(ask(&actor, Count).await, Ok((1, thread_of(&arbiter).await)));
}

#[actix::test]
async fn a_panic_gives_fresh_state_on_the_same_thread_which_goes_on() {
    let (lender, actor) = probe(Policy::default());
    let arbiter = Arbiter::new();
    lender.lend(arbiter.handle());
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
async fn the_end_of_the_thread_is_no_death_and_another_one_will_do() {
    let (lender, actor) = probe(Policy {
        max_restarts: 0,
        ..Policy::default()
    });
    for _ in 0..3 {
        let arbiter = Arbiter::new();
        lender.lend(arbiter.handle());
        within(actor.running()).await.unwrap();
        assert_eq!(ask(&actor, Count).await, Ok((1, thread_of(&arbiter).await)));
        arbiter.stop();
        status(&actor, ActorStatus::Starting).await;
        arbiter.join().unwrap();
        assert!(!lender.is_taken());
        assert_eq!(ask(&actor, Count).await, Err(AskError::Crashed));
    }
    assert_eq!(actor.mailbox.stats().restarts(), 0);
}

#[actix::test]
async fn without_a_thread_it_stops_when_told() {
    let (_lender, actor) = probe(Policy::default());
    actor.mailbox.close();
    status(&actor, ActorStatus::Stopped).await;
}

#[actix::test]
async fn closing_ends_the_actor_and_not_the_thread() {
    let (lender, actor) = probe(Policy::default());
    let arbiter = Arbiter::new();
    lender.lend(arbiter.handle());
    within(actor.running()).await.unwrap();
    actor.mailbox.close();
    status(&actor, ActorStatus::Stopped).await;
    assert_eq!(ask(&actor, Count).await, Err(AskError::Stopped));
    thread_of(&arbiter).await;
}

/// There is nowhere else to go: a worker that does not come back ends the process.
#[actix::test]
async fn a_thread_that_stays_frozen_escalates() {
    let (lender, actor) = probe(Policy {
        heartbeat: Duration::from_millis(20),
        missed_heartbeats: 3,
        max_restarts: 1,
        ..Policy::default()
    });
    let arbiter = Arbiter::new();
    lender.lend(arbiter.handle());
    within(actor.running()).await.unwrap();
    assert_eq!(
        ask(&actor, Freeze(Duration::from_secs(2))).await,
        Err(AskError::Crashed)
    );
    status(&actor, ActorStatus::Escalated).await;
}
