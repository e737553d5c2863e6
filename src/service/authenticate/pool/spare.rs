//! A thread that runs only while a core has nothing else to do, so that no request waits until the kernel takes the core from it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    thread_schedule_policy,
};

use super::job::Job;

/// How much longer than usual a verification may take there. On a machine without a spare core it would have no end.
const PATIENCE: u32 = 2;

/// At least so long: a core may have to wake up.
const LEAST: Duration = Duration::from_millis(50);

/// Verifications that usually end sooner disturb no request.
const SLOW: Duration = Duration::from_millis(1);

/// The thread, and the verification that it did not finish in time.
pub(super) struct Spare {
    jobs: SyncSender<Arc<Job>>,
    outcomes: Receiver<Option<bool>>,
    is_busy: bool,
}

impl Spare {
    /// `None`: the system has no thread. One that may not change its scheduling policy ends, and takes no verification.
    pub(super) fn start() -> Option<Self> {
        let (jobs, waiting) = sync_channel::<Arc<Job>>(1);
        let (ended, outcomes) = sync_channel(1);
        let run = move || {
            if !runs_while_a_core_is_idle() {
                tracing::debug!(
                    "slow hashes are verified with a low priority only: the scheduling policy cannot be set"
                );
                return;
            }
            // Begins with none: it is used as soon as it runs.
            let mut outcome = None;
            while ended.send(outcome).is_ok() {
                let Ok(job) = waiting.recv() else {
                    return;
                };
                outcome = job.verify();
            }
        };
        let thread = thread::Builder::new().name("foreign-spare".to_owned());
        thread.spawn(run).ok()?;
        Some(Self {
            jobs,
            outcomes,
            is_busy: true,
        })
    }

    /// Verifies on that thread. `None`: the caller must do it, because it is quick, failed or takes too long, or because the thread is busy.
    pub(super) fn verify(&mut self, job: &Arc<Job>) -> Option<bool> {
        let usual = job.hash.usual_time();
        if usual < SLOW || (self.is_busy && self.outcomes.try_recv().is_err()) {
            return None;
        }
        self.is_busy = true;
        self.jobs.try_send(Arc::clone(job)).ok()?;
        let outcome = self.outcomes.recv_timeout(LEAST + usual * PATIENCE).ok();
        self.is_busy = outcome.is_none();
        outcome.flatten()
    }
}

/// Sets the policy of this thread. The crate also resets its niceness, which only a privileged process may do: the policy counts.
fn runs_while_a_core_is_idle() -> bool {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    thread_schedule_policy().is_ok_and(|policy| policy == idle)
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::protocol::client_auth::foreign_hash::{Imported, import};

    fn job(cost: &str) -> Arc<Job> {
        let text = format!("$2a${cost}$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK");
        let Ok(Imported::Foreign(hash)) = import(&text, None) else {
            panic!("{text}");
        };
        Arc::new(Job {
            key: [0; 32],
            client_id: Arc::from("ci"),
            hash,
            presented: "hunter2".to_owned(),
            outcome: watch::channel(None).0,
        })
    }

    /// The scheduling policies of the threads with this name.
    fn policies(name: &str) -> Vec<u32> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
        let named = stats.filter_map(|stat| {
            let rest = stat.split_once(&format!("({name})"))?.1.to_owned();
            // proc_pid_stat(5): the policy is field 41, and the state, with which the rest begins, is field 3.
            rest.split_whitespace().nth(41 - 3)?.parse().ok()
        });
        named.collect()
    }

    #[test]
    fn the_thread_runs_only_while_a_core_is_idle() {
        // As the thread of the pool, whose niceness it inherits.
        rustix::process::nice(10).unwrap();
        let spare = Spare::start().unwrap();
        // On a busy machine it waits for long.
        let next = || spare.outcomes.recv_timeout(Duration::from_mins(10)).unwrap();
        assert_eq!(next(), None, "it has begun");
        spare.jobs.send(job("06")).unwrap();
        assert_eq!(next(), Some(false));
        let policies = policies("foreign-spare");
        assert!(!policies.is_empty());
        assert!(policies.iter().all(|policy| *policy == 5), "SCHED_IDLE: {policies:?}");
    }

    /// On a machine without an idle core: the caller verifies itself, and the late outcome is that of no other secret.
    #[test]
    fn a_thread_that_gets_no_core_is_not_awaited() {
        let (jobs, taken) = sync_channel(1);
        let (ended, outcomes) = sync_channel(1);
        let mut spare = Spare {
            jobs,
            outcomes,
            is_busy: false,
        };
        let (returned, verified) = sync_channel(1);
        thread::spawn(move || {
            let outcome = spare.verify(&job("06"));
            returned.send((outcome, spare))
        });
        let verified = verified.recv_timeout(Duration::from_mins(1));
        let (outcome, mut spare) = verified.expect("it is not awaited without end");
        assert_eq!(outcome, None);
        assert_eq!(spare.verify(&job("06")), None, "it has not ended");
        assert_eq!(taken.try_iter().count(), 1);
        ended.send(Some(true)).unwrap();
        assert_eq!(spare.verify(&job("06")), None, "that was the first");
        assert_eq!(taken.try_iter().count(), 1, "it is used again");
        ended.send(Some(true)).unwrap();
        spare.is_busy = false;
        assert_eq!(spare.verify(&job("06")), Some(true));
    }
}
