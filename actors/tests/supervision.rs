//! What supervision promises, as tests: a panic, a frozen thread, a flood, a drain, deadlines, escalation.
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
use oauth2_actors::runtime::{ActorStatus, Answer, Envelope, Mailbox, Pending, Policy, Request, Supervised, supervise};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts, panics, blocks and holds on to messages as it is told.
struct Probe {
    count: u32,
    held: Vec<Answer<u32>>,
    executed: Arc<AtomicUsize>,
    /// Told when this life is over for good.
    gone: Option<tokio::sync::mpsc::UnboundedSender<()>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(gone) = &self.gone {
            let _ = gone.send(());
        }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;
}

/// Adds one; answers the count.
struct Count;
/// Panics within the handler.
struct Explode;
/// Tells the test that it began, then blocks its thread until the test lets go.
struct Block(mpsc::Sender<()>, mpsc::Receiver<()>);
/// Keeps the caller waiting: in flight, not queued.
struct Hold;
/// Answers everything held.
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
        envelope.answer(|Count| {
            self.executed.fetch_add(1, Ordering::SeqCst);
            self.count += 1;
            self.count
        });
    }
}
impl Handler<Envelope<Explode>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Explode>, _: &mut Context<Self>) {
        envelope.answer(|Explode| panic!("told to"));
    }
}
impl Handler<Envelope<Block>> for Probe {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Block>, _: &mut Context<Self>) {
        envelope.answer(|Block(began, go)| {
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
        envelope.answer(|Release| self.held.drain(..).for_each(|answer| answer.send(0)));
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
        gone: None,
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

/// Waits for the life after `restarts` deaths.
async fn running_again(actor: &Supervised<Probe>, restarts: u64) {
    let mut watched = actor.status.clone();
    while actor.mailbox.stats().restarts() < restarts || *watched.borrow_and_update() != ActorStatus::Running {
        within(watched.changed()).await.unwrap();
    }
}

/// Blocks the actor's thread. The sender lets it go on.
fn block(mailbox: &Mailbox<Probe>) -> (Pending<()>, mpsc::Sender<()>) {
    let (began, started) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let pending = ask(mailbox, Block(began, wait)).unwrap();
    started.recv_timeout(PATIENCE).unwrap();
    (pending, go)
}

#[actix::test]
async fn a_panic_gives_fresh_state_behind_the_same_handle() {
    let (actor, _) = probe(policy()).await;
    let (other, _) = probe(policy()).await;
    let mailbox = actor.mailbox.clone();
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(1));
    assert_eq!(within(ask(&other.mailbox, Count).unwrap()).await, Ok(1));

    // The block lets the rest queue up behind it, so that one is in flight and one queued when the panic comes.
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
        "others keep theirs"
    );
    assert_eq!(other.mailbox.stats().restarts(), 0);
}

#[actix::test]
async fn a_frozen_actor_is_replaced_and_stays_unreachable() {
    let executed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&executed);
    let (gone, mut over) = tokio::sync::mpsc::unbounded_channel();
    let actor = supervise("probe", policy(), move |_: &mut Context<Probe>| Probe {
        count: 0,
        held: Vec::new(),
        executed: Arc::clone(&seen),
        gone: Some(gone.clone()),
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
        "the permits of the frozen one are not the new one's"
    );

    // The old one wakes, and the thread that it held ends. What was queued there is not executed.
    go.send(()).unwrap();
    within(over.recv()).await.unwrap();
    assert_eq!(within(ask(&mailbox, Count).unwrap()).await, Ok(2));
    assert_eq!(executed.load(Ordering::SeqCst), 2);
    assert_eq!(mailbox.stats().restarts(), 1, "its waking is no death of the new one");
    assert_eq!(*actor.status.borrow(), ActorStatus::Running);
}

#[actix::test]
async fn a_flood_is_bounded_and_refused_at_once() {
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
async fn a_drain_finishes_what_is_queued() {
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
async fn an_abandoned_message_is_not_executed() {
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
        "neither of the two before was counted"
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
async fn a_panic_of_the_factory_is_a_death() {
    let lives = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&lives);
    let actor = supervise("probe", policy(), move |_: &mut Context<Probe>| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) >= 2, "told to");
        Probe {
            count: 0,
            held: Vec::new(),
            executed: Arc::default(),
            gone: None,
        }
    });
    assert_eq!(
        ask(&actor.mailbox, Count).err(),
        Some(AskError::Crashed),
        "nobody is there yet"
    );
    within(actor.running()).await.unwrap();
    assert_eq!(lives.load(Ordering::SeqCst), 3);
    assert_eq!(actor.mailbox.stats().restarts(), 2);
    assert_eq!(within(ask(&actor.mailbox, Count).unwrap()).await, Ok(1));
}

#[actix::test]
async fn waiting_times_are_told_to_the_hook() {
    let (actor, _) = probe(policy()).await;
    let waits = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&waits);
    actor
        .mailbox
        .stats()
        .on_wait(move |wait| told.lock().unwrap().push(wait));
    within(ask(&actor.mailbox, Count).unwrap()).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 1);
}
