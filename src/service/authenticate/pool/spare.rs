//! A thread that runs only while a core has nothing else to do, so that no request waits until the kernel takes the core from it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
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
    /// `None`: the system has no thread, or does not let the server change its scheduling policy.
    pub(super) fn start() -> Option<Self> {
        let (jobs, waiting) = sync_channel::<Arc<Job>>(1);
        let (ended, outcomes) = sync_channel(1);
        let (changed, is_idle) = sync_channel(1);
        let run = move || {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let is_changed = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).is_ok();
            let _ = changed.send(is_changed);
            while is_changed && let Ok(job) = waiting.recv() {
                if ended.send(job.verify()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("foreign-spare".to_owned())
            .spawn(run)
            .ok()?;
        is_idle.recv().unwrap_or(false).then_some(Self {
            jobs,
            outcomes,
            is_busy: false,
        })
    }

    /// Verifies there. `None`: it is not worth it, failed, or takes too long, or the thread is busy with an earlier one that did.
    pub(super) fn verify(&mut self, job: &Arc<Job>) -> Option<bool> {
        let usual = job.hash.usual_time();
        if usual < SLOW {
            return None;
        }
        if self.is_busy && self.outcomes.try_recv().is_err() {
            return None;
        }
        self.is_busy = self.jobs.try_send(Arc::clone(job)).is_ok();
        let outcome = self.outcomes.recv_timeout(LEAST + usual * PATIENCE).ok();
        self.is_busy &= outcome.is_none();
        outcome.flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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
        let _spare = Spare::start().unwrap();
        let policies = policies("foreign-spare");
        assert!(!policies.is_empty());
        assert!(policies.iter().all(|policy| *policy == 5), "SCHED_IDLE: {policies:?}");
    }

    #[test]
    fn a_busy_thread_takes_no_verification() {
        let mut spare = Spare::start().unwrap();
        spare.jobs.send(job("13")).unwrap();
        spare.is_busy = true;
        assert_eq!(spare.verify(&job("06")), None, "the first still runs");
        let began = Instant::now();
        while spare.verify(&job("06")).is_none() {
            assert!(began.elapsed() < Duration::from_mins(1), "it is not used again");
        }
    }
}
