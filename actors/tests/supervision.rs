//! Specification of supervision: panic, frozen thread, overload, drain, deadlines, escalation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler};
use oauth2_actors::error::AskError;
use oauth2_actors::runtime::{
    ActorStatus, Envelope, Mailbox, Pending, Policy, ReplySender, Request, Supervised, supervise,
};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts, panics, blocks or holds messages, on request.
struct Probe {
    count: u32,
    held: Vec<ReplySender<u32>>,
    executed: Arc<AtomicUsize>,
    /// Notified when this incarnation is dropped.
    dropped: Option<tokio::sync::mpsc::UnboundedSender<()>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            let _ = dropped.send(());
        }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;
}

/// Adds one; replies with the count.
struct Count;
/// Panics within the handler.
struct Explode;
/// Signals the test that it began, then blocks its thread until the test releases it.
struct Block(mpsc::Sender<()>, mpsc::Receiver<()>);
/// Keeps the caller waiting: in flight, not queued.
struct Hold;
/// Replies to all held messages.
struct Release;

impl Request for Count {
    type Reply = u32;
}
impl Request for Explode {
    type Reply = ();
}
impl Request for Block {
    type Reply = ();
}
impl Request for Hold {
    type Reply = u32;
}
impl Request for Release {
    type Reply = ();
}

impl Handler<Envelope<Count>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Count>, _: &mut Context<Self>) {
        envelope.reply_with(|Count| {
            self.executed.fetch_add(1, Ordering::SeqCst);
            self.count += 1;
            self.count
        });
    }
}
impl Handler<Envelope<Explode>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Explode>, _: &mut Context<Self>) {
        envelope.reply_with(|Explode| panic!("on request"));
    }
}
impl Handler<Envelope<Block>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Block>, _: &mut Context<Self>) {
        envelope.reply_with(|Block(began, go)| {
            began.send(()).unwrap();
            let _ = go.recv();
        });
    }
}
impl Handler<Envelope<Hold>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Hold>, _: &mut Context<Self>) {
        self.held.push(envelope.into_parts().1);
    }
}
impl Handler<Envelope<Release>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Release>, _: &mut Context<Self>) {
        envelope.reply_with(|Release| self.held.drain(..).for_each(|reply| reply.send(0)));
    }
}

fn policy() -> Policy {
    Policy {
        mailbox_capacity: 8,
        heartbeat: Duration::from_millis(50),
        missed_heartbeats: 6,
        ..Policy::default()
    }
}

async fn probe(policy: Policy) -> (Supervised<Probe>, Arc<AtomicUsize>) {
    let executed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&executed);
    let factory = move |_: &mut Context<Probe>| Probe {
        count: 0,
        held: Vec::new(),
        executed: Arc::clone(&seen),
        dropped: None,
    };
    let actor = supervise("probe", policy, factory);
    within(actor.running()).await.unwrap();
    (actor, executed)
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

fn later() -> Instant {
    Instant::now() + PATIENCE
}

fn ask<M: Request>(mailbox: &Mailbox<Probe>, message: M) -> Result<Pending<M::Reply>, AskError>
where
    Probe: Handler<Envelope<M>>,
{
    mailbox.ask(message, later())
}

async fn status(actor: &Supervised<Probe>, wanted: ActorStatus) {
    within(actor.status.clone().wait_for(|status| *status == wanted))
        .await
        .unwrap();
}

/// Waits for the incarnation after `restarts` deaths.
async fn running_again(actor: &Supervised<Probe>, restarts: u64) {
    let mut watched = actor.status.clone();
    while actor.mailbox.stats().restarts() < restarts || *watched.borrow_and_update() != ActorStatus::Running {
        within(watched.changed()).await.unwrap();
    }
}

/// Blocks the actor's thread until the returned sender releases it.
fn block(mailbox: &Mailbox<Probe>) -> (Pending<()>, mpsc::Sender<()>) {
    let (began, started) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let pending = ask(mailbox, Block(began, wait)).unwrap();
    started.recv_timeout(PATIENCE).unwrap();
    (pending, go)
}

#[actix::test]
async fn panicked_actor_restarts_with_fresh_state_behind_the_same_handle() {
    let (actor, _) = probe(policy()).await;
    let (other, _) = probe(policy()).await;
    let mailbox = actor.mailbox.clone();
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(1));
    assert_eq!(within(ask(&other.mailbox, Count).unwrap()).await, Ok(1));

    // The block makes the other messages queue up, so that one is in flight and one queued when the panic comes.
    let in_flight = ask(&mailbox, Hold).unwrap();
    let (blocked, go) = block(&mailbox);
    let exploding = ask(&mailbox, Explode).unwrap();
    let queued = ask(&mailbox, Count).unwrap();
    go.send(()).unwrap();
    assert_eq!(within(blocked).await, Ok(()));
    assert_eq!(within(exploding).await, Err(AskError::Crashed));
    assert_eq!(within(queued).await, Err(AskError::Crashed));
    assert_eq!(within(in_flight).await, Err(AskError::Crashed));

    running_again(&actor, 1).await;
    assert_eq!(mailbox.stats().restarts(), 1);
    assert_eq!(mailbox.stats().sheds().crashed, 3);
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(1), "fresh state");
    assert_eq!(
        within(ask(&other.mailbox, Count).unwrap()).await,
        Ok(2),
        "other actors keep their state"
    );
    assert_eq!(other.mailbox.stats().restarts(), 0);
}

#[actix::test]
async fn frozen_actor_is_replaced_and_stays_unreachable() {
    let executed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&executed);
    let (dropped, mut drops) = tokio::sync::mpsc::unbounded_channel();
    let actor = supervise("probe", policy(), move |_: &mut Context<Probe>| Probe {
        count: 0,
        held: Vec::new(),
        executed: Arc::clone(&seen),
        dropped: Some(dropped.clone()),
    });
    within(actor.running()).await.unwrap();
    let mailbox = actor.mailbox.clone();
    let (blocked, go) = block(&mailbox);
    let queued = ask(&mailbox, Count).unwrap();
    assert_eq!(within(blocked).await, Err(AskError::Crashed));
    assert_eq!(within(queued).await, Err(AskError::Crashed));

    running_again(&actor, 1).await;
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(1));
    assert_eq!(
        mailbox.stats().depth(),
        0,
        "the permits of the frozen actor do not count"
    );

    // The old actor resumes, and its thread ends. Messages queued there are not executed.
    go.send(()).unwrap();
    within(drops.recv()).await.unwrap();
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(2));
    assert_eq!(executed.load(Ordering::SeqCst), 2);
    assert_eq!(
        mailbox.stats().restarts(),
        1,
        "its end does not count as a death of the new actor"
    );
    assert_eq!(*actor.status.borrow(), ActorStatus::Running);
}

#[actix::test]
async fn overload_is_bounded_and_rejected_at_once() {
    let (actor, _) = probe(Policy {
        missed_heartbeats: u32::MAX,
        ..policy()
    })
    .await;
    let mailbox = actor.mailbox.clone();
    // Three in flight, one blocking, four queued: all eight permits.
    let mut waiting: Vec<_> = (0..3).map(|_| ask(&mailbox, Hold).unwrap()).collect();
    let (blocked, go) = block(&mailbox);
    waiting.extend((0..4).map(|_| ask(&mailbox, Hold).unwrap()));
    for _ in 0..10_000 {
        assert_eq!(ask(&mailbox, Count).err(), Some(AskError::Full));
        assert_eq!(mailbox.stats().depth(), 8);
    }
    assert_eq!(mailbox.stats().sheds().full, 10_000);
    go.send(()).unwrap();
    assert_eq!(within(blocked).await, Ok(()));
    assert_eq!(within(ask(&mailbox, Release).unwrap()).await, Ok(()));
    for pending in waiting {
        assert_eq!(within(pending).await, Ok(0));
    }
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(1));
    assert_eq!(mailbox.stats().depth(), 0);
}

#[actix::test]
async fn drain_finishes_queued_messages() {
    let (actor, _) = probe(policy()).await;
    let mailbox = actor.mailbox.clone();
    let held = ask(&mailbox, Hold).unwrap();
    let (blocked, go) = block(&mailbox);
    let queued = ask(&mailbox, Count).unwrap();
    let released = ask(&mailbox, Release).unwrap();
    mailbox.close();
    assert_eq!(ask(&mailbox, Count).err(), Some(AskError::Stopped));
    assert!(futures_util::poll!(std::pin::pin!(mailbox.drained())).is_pending());
    go.send(()).unwrap();
    within(mailbox.drained()).await;
    assert_eq!(within(blocked).await, Ok(()));
    assert_eq!(within(queued).await, Ok(1));
    assert_eq!(within(released).await, Ok(()));
    assert_eq!(within(held).await, Ok(0));
    status(&actor, ActorStatus::Stopped).await;
    assert_eq!(ask(&mailbox, Count).err(), Some(AskError::Stopped));
}

#[actix::test]
async fn abandoned_message_is_not_executed() {
    let (actor, executed) = probe(Policy {
        missed_heartbeats: u32::MAX,
        ..policy()
    })
    .await;
    let mailbox = actor.mailbox.clone();
    assert_eq!(
        mailbox.ask(Count, Instant::now()).err(),
        Some(AskError::Deadline),
        "already past"
    );
    let (blocked, go) = block(&mailbox);
    let late = mailbox.ask(Count, Instant::now() + Duration::from_millis(20)).unwrap();
    drop(ask(&mailbox, Count).unwrap());
    assert_eq!(within(late).await, Err(AskError::Deadline));
    go.send(()).unwrap();
    assert_eq!(within(blocked).await, Ok(()));
    assert_eq!(
        within(ask(&mailbox, Count).unwrap()).await,
        Ok(1),
        "neither of the two abandoned messages was counted"
    );
    assert_eq!(executed.load(Ordering::SeqCst), 1);
    assert_eq!(mailbox.stats().sheds().deadline, 2);
}

#[actix::test]
async fn repeated_crashes_escalate() {
    let (actor, _) = probe(Policy {
        max_restarts: 2,
        ..policy()
    })
    .await;
    for death in 1..=3 {
        assert_eq!(
            within(ask(&actor.mailbox, Explode).unwrap()).await,
            Err(AskError::Crashed)
        );
        if death <= 2 {
            running_again(&actor, death).await;
        }
    }
    status(&actor, ActorStatus::Escalated).await;
    assert_eq!(actor.running().await, Err(AskError::Crashed));
    assert_eq!(ask(&actor.mailbox, Count).err(), Some(AskError::Crashed));
    assert_eq!(actor.mailbox.stats().restarts(), 2);
    within(async {
        actor.mailbox.close();
        actor.mailbox.drained().await;
    })
    .await;
}

#[actix::test]
async fn panic_in_the_factory_counts_as_a_death() {
    let incarnations = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&incarnations);
    let actor = supervise("probe", policy(), move |_: &mut Context<Probe>| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) >= 2, "on request");
        Probe {
            count: 0,
            held: Vec::new(),
            executed: Arc::default(),
            dropped: None,
        }
    });
    assert_eq!(
        ask(&actor.mailbox, Count).err(),
        Some(AskError::Crashed),
        "it does not run yet"
    );
    within(actor.running()).await.unwrap();
    assert_eq!(incarnations.load(Ordering::SeqCst), 3);
    assert_eq!(actor.mailbox.stats().restarts(), 2);
    assert_eq!(within(ask(&actor.mailbox, Count).unwrap()).await, Ok(1));
}

#[actix::test]
async fn wait_hook_receives_queueing_times() {
    let (actor, _) = probe(policy()).await;
    let waits = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&waits);
    actor
        .mailbox
        .stats()
        .on_wait(move |wait| recorded.lock().unwrap().push(wait));
    within(ask(&actor.mailbox, Count).unwrap()).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 1);
}
