//! What can be configured, from where, and what is refused.

mod place;
mod secrets;
mod sources;
mod values;
