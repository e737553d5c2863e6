//! The only module that works around actix's pitfalls.
//!
//! - [`mailbox`]: deadlines of messages. [`permits`]: bounds and figures of a mailbox. [`spans`]: spans, and the request in progress;
//!   [`request_id`].
//! - [`supervisor`]: restarts behind the same handle. [`placement`]: on which thread. [`system`]: all actors of a process.
//! - [`schedule`]: background jobs of an actor.
//! - [`clock`]: time and token ids, as values that tests can set; [`store_clock`], [`wall_clock`].

pub mod clock;
pub mod mailbox;
pub mod permits;
pub mod placement;
pub mod request_id;
pub mod schedule;
pub mod spans;
pub mod store_clock;
pub mod supervisor;
pub mod system;
pub mod wall_clock;

pub use clock::{Clock, IdClock, ManualClock, StoreClock, SystemClock};
pub use mailbox::{Envelope, Mailbox, Pending, ReplySender, Request};
pub use permits::{MailboxStats, Sheds, WatchedMailbox};
pub use placement::{ThreadAssigner, ThreadPlacement};
pub use supervisor::{ActorStatus, Policy, Supervised, supervise, supervise_on};
pub use system::ActorSystem;
