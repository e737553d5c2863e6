//! The part that knows actix's sharp edges: [`mailbox`] (bounds, deadlines, spans), [`supervisor`] (a new actor behind the
//! same handle) and [`clock`] (time and ids as values that tests can set).

pub mod clock;
pub mod mailbox;
pub mod supervisor;

pub use clock::{Clock, IdClock, ManualClock, SystemClock};
pub use mailbox::{Answer, Envelope, Mailbox, MailboxStats, Pending, Request, Sheds};
pub use supervisor::{ActorStatus, Policy, Supervised, supervise};
