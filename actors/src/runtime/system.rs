//! The supervised actors of a process: one list from which readiness, metrics and escalation are read.

use actix::{Actor, Context};
use futures_util::future::{pending, select_all};
use tokio::sync::watch;

use super::mailbox::Mailbox;
use super::permits::WatchedMailbox;
use super::placement::ThreadPlacement;
use super::supervisor::{ActorStatus, Policy, Supervised, supervise_on};

/// Starts actors and keeps the status and the mailbox figures of each.
#[derive(Debug, Default)]
pub struct ActorSystem {
    actors: Vec<(WatchedMailbox, watch::Receiver<ActorStatus>)>,
}

impl ActorSystem {
    /// Supervises an actor on a thread of its own; see [`supervise`](super::supervisor::supervise). Several actors may
    /// share a name; their figures are then exported together.
    pub fn supervise<A>(
        &mut self,
        name: &'static str,
        policy: Policy,
        factory: impl Fn(&mut Context<A>) -> A + Send + Sync + 'static,
    ) -> Mailbox<A>
    where
        A: Actor<Context = Context<A>>,
    {
        self.supervise_on(ThreadPlacement::Dedicated, name, policy, factory)
    }

    /// As [`Self::supervise`], on the thread of `placement`.
    pub fn supervise_on<A>(
        &mut self,
        placement: ThreadPlacement,
        name: &'static str,
        policy: Policy,
        factory: impl Fn(&mut Context<A>) -> A + Send + Sync + 'static,
    ) -> Mailbox<A>
    where
        A: Actor<Context = Context<A>>,
    {
        let Supervised { mailbox, status } = supervise_on(placement, name, policy, factory);
        self.actors.push((mailbox.watched(), status));
        mailbox
    }

    /// The name and the status of every actor, in the order in which they were started.
    pub fn statuses(&self) -> Vec<(&'static str, watch::Receiver<ActorStatus>)> {
        let named =
            |(mailbox, status): &(WatchedMailbox, watch::Receiver<ActorStatus>)| (mailbox.name(), status.clone());
        self.actors.iter().map(named).collect()
    }

    /// The mailbox figures of every actor, in the order in which they were started.
    pub fn watched_mailboxes(&self) -> Vec<WatchedMailbox> {
        self.actors.iter().map(|(mailbox, _)| mailbox.clone()).collect()
    }

    /// Waits until an actor exceeds its restart limit, and returns its name. The process must then go not ready and exit non-zero.
    pub async fn escalated(&self) -> &'static str {
        let escalations = self.actors.iter().map(|(mailbox, status)| {
            let mut status = status.clone();
            Box::pin(async move {
                // An error means that the supervision ended. Unless it stopped the actor, nothing restarts that any more.
                let ended = status
                    .wait_for(|status| *status == ActorStatus::Escalated)
                    .await
                    .is_err();
                if ended && *status.borrow() == ActorStatus::Stopped {
                    pending::<()>().await;
                }
                mailbox.name()
            })
        });
        let escalations: Vec<_> = escalations.collect();
        if escalations.is_empty() {
            return pending().await;
        }
        select_all(escalations).await.0
    }
}
