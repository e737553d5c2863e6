//! Background jobs of an actor: when they start, how often they run, and that two runs of one job never overlap.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::fut::{wrap_future, wrap_stream};
use actix::{Actor, ActorFutureExt, ActorStreamExt, AsyncContext, Context};
use futures_util::stream;
use tokio::sync::{Semaphore, watch};

/// Calls `then` once `ready` is true; never, if its sender is dropped before. The actor takes messages meanwhile.
pub fn when_ready<A>(
    ctx: &mut Context<A>,
    mut ready: watch::Receiver<bool>,
    then: impl FnOnce(&mut A, &mut Context<A>) + 'static,
) where
    A: Actor<Context = Context<A>>,
{
    let wait = async move { ready.wait_for(|ready| *ready).await.is_ok() };
    ctx.spawn(wrap_future(wait).map(|is_ready, actor, ctx| {
        if is_ready {
            then(actor, ctx);
        }
    }));
}

/// Keeps the runs of one job from overlapping. Clones share the job.
#[derive(Debug, Clone)]
pub struct SingleFlight(Arc<Semaphore>);

impl Default for SingleFlight {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl SingleFlight {
    /// Spawns a run on the actor's context, and calls `done` with its outcome. Does nothing while a run is in flight; `job`
    /// is not called then. In `done`, the run has ended: the next one may start.
    pub fn run<A, F>(
        &self,
        ctx: &mut Context<A>,
        job: impl FnOnce() -> F,
        done: impl FnOnce(F::Output, &mut A, &mut Context<A>) + 'static,
    ) where
        A: Actor<Context = Context<A>>,
        F: Future + 'static,
    {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            return;
        };
        ctx.spawn(wrap_future(job()).map(move |outcome, actor, ctx| {
            drop(permit);
            done(outcome, actor, ctx);
        }));
    }

    /// Waits until no run is in flight.
    pub async fn idle(&self) {
        drop(self.0.acquire().await);
    }
}

/// Asks a follower of a log to read it now, from any thread, instead of at its next poll. Clones wake the same follower.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<watch::Sender<()>>);

impl Wake {
    /// Causes a run that begins after this call. Wake-ups that come while a run is in flight cause one more run together.
    pub fn wake(&self) {
        self.0.send_replace(());
    }
}

/// How often a log is polled. Clones share it.
#[derive(Debug, Clone)]
pub struct Pace(Arc<AtomicU64>);

impl Pace {
    /// Polls at this interval, which is whole milliseconds.
    pub fn every(interval: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(interval.as_millis() as u64)))
    }

    /// Polls at another interval, from the poll after the next. Returns whether it is another.
    pub fn set(&self, interval: Duration) -> bool {
        let ms = interval.as_millis() as u64;
        self.0.swap(ms, Ordering::AcqRel) != ms
    }

    /// The interval.
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Acquire))
    }
}

/// Calls `run` at once, then at `pace` and after each wake-up, for as long as the actor lives. `run` starts its work
/// through `flight`: a tick during a run is skipped, a wake-up during a run is served when that has ended.
pub fn follow<A>(
    ctx: &mut Context<A>,
    pace: &Pace,
    wake: &Wake,
    flight: &SingleFlight,
    run: fn(&mut A, &mut Context<A>),
) where
    A: Actor<Context = Context<A>>,
{
    // Every incarnation of the actor has a receiver of its own: a frozen one cannot take wake-ups from its successor.
    let mut wake_ups = wake.0.subscribe();
    wake_ups.mark_changed();
    let wake_ups = stream::unfold((wake_ups, flight.clone()), |(mut wake_ups, flight)| async move {
        wake_ups.changed().await.ok()?;
        flight.idle().await;
        // The run that begins now serves all wake-ups until now.
        wake_ups.mark_unchanged();
        Some(((), (wake_ups, flight)))
    });
    ctx.spawn(
        wrap_stream(wake_ups)
            .map(move |(), actor, ctx| run(actor, ctx))
            .finish(),
    );
    tick(ctx, pace.clone(), run);
}

fn tick<A>(ctx: &mut Context<A>, pace: Pace, run: fn(&mut A, &mut Context<A>))
where
    A: Actor<Context = Context<A>>,
{
    ctx.run_later(pace.get(), move |actor, ctx| {
        run(actor, ctx);
        tick(ctx, pace, run);
    });
}

#[cfg(test)]
mod tests {
    use actix::prelude::*;
    use tokio::sync::oneshot;

    use super::*;

    /// Counts the runs of a job that lasts until the test releases it.
    struct Worker {
        flight: SingleFlight,
        started: Arc<Semaphore>,
        release: Arc<Semaphore>,
    }

    impl Worker {
        fn new() -> Self {
            Self {
                flight: SingleFlight::default(),
                started: Arc::new(Semaphore::new(0)),
                release: Arc::new(Semaphore::new(0)),
            }
        }

        fn work(&mut self, ctx: &mut Context<Self>) {
            let job = || {
                self.started.add_permits(1);
                let release = Arc::clone(&self.release);
                async move { release.acquire().await.unwrap().forget() }
            };
            self.flight.run(ctx, job, |(), _, _| ());
        }
    }

    impl Actor for Worker {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Work;

    impl Handler<Work> for Worker {
        type Result = ();
        fn handle(&mut self, _: Work, ctx: &mut Context<Self>) {
            self.work(ctx);
        }
    }

    async fn within<F: Future>(future: F) -> F::Output {
        tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
    }

    #[actix::test]
    async fn runs_of_one_job_never_overlap() {
        let worker = Worker::new();
        let (flight, started, release) = (
            worker.flight.clone(),
            Arc::clone(&worker.started),
            Arc::clone(&worker.release),
        );
        let address = worker.start();
        within(flight.idle()).await;
        for _ in 0..3 {
            within(address.send(Work)).await.unwrap();
        }
        assert_eq!(started.available_permits(), 1, "two of three were skipped");
        assert!(futures_util::poll!(std::pin::pin!(flight.idle())).is_pending());
        release.add_permits(1);
        within(flight.idle()).await;
        within(address.send(Work)).await.unwrap();
        assert_eq!(started.available_permits(), 2, "a run may follow the one before");
    }

    #[actix::test]
    async fn a_wake_up_during_a_run_causes_one_run_after_it() {
        let worker = Worker::new();
        let (wake, flight) = (Wake::default(), worker.flight.clone());
        let (started, release) = (Arc::clone(&worker.started), Arc::clone(&worker.release));
        let (of_actor, never) = (wake.clone(), Pace::every(Duration::from_hours(1)));
        Worker::create(move |ctx| {
            follow(ctx, &never, &of_actor, &flight, Worker::work);
            worker
        });
        // Taken permits count the runs: the first begins by itself.
        within(started.acquire()).await.unwrap().forget();
        for _ in 0..5 {
            wake.wake();
            tokio::task::yield_now().await;
        }
        assert_eq!(started.available_permits(), 0, "the first run is in flight");
        release.add_permits(1);
        within(started.acquire()).await.unwrap().forget();
        release.add_permits(1);
        // That nothing happens can only be waited for. Too short a wait can miss a fault; it cannot fail without one.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(started.available_permits(), 0, "five wake-ups are one run");
        wake.wake();
        within(started.acquire()).await.unwrap().forget();
    }

    #[actix::test]
    async fn a_job_waits_for_its_flag_and_is_dropped_with_the_sender() {
        for is_set in [true, false] {
            let (ready, wait) = watch::channel(false);
            let (called, call) = oneshot::channel();
            Worker::create(move |ctx| {
                when_ready(ctx, wait, |_, _| called.send(()).unwrap());
                Worker::new()
            });
            if is_set {
                ready.send_replace(true);
            }
            drop(ready);
            assert_eq!(within(call).await.is_ok(), is_set);
        }
    }
}
