//! What actors run on: mailboxes with bounds and deadlines, supervision, and clocks.
//!
//! The only place that knows actix's sharp edges: its supervisor does not survive a panic, its mailbox bound is soft, and
//! its timers run only when the mailbox is empty.

pub mod clock;
pub mod mailbox;
pub mod supervisor;
