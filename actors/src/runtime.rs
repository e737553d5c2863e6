//! The part that knows actix's sharp edges: [`mailbox`] (deadlines, spans) and its [`permits`] (bounds, figures),
//! [`supervisor`] (a new actor behind the same handle) and [`place`] (on which thread), [`clock`] (time and ids as values that tests can set) and [`when`]
//! (waiting for a flag).

pub mod clock;
pub mod mailbox;
pub mod permits;
pub mod place;
pub mod supervisor;
pub mod when;

pub use clock::{Clock, IdClock, ManualClock, StoreClock, SystemClock};
pub use mailbox::{Answer, Envelope, Mailbox, Pending, Request};
pub use permits::{MailboxStats, Sheds};
pub use place::{Lender, Place};
pub use supervisor::{ActorStatus, Policy, Supervised, supervise, supervise_at};
