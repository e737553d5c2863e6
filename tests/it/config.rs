//! What can be configured, from where, and what is refused.

mod pgbouncer;
mod place;
mod postgres_tls;
mod postgres_url;
mod secrets;
mod sources;
mod values;
