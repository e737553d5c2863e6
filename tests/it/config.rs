//! What can be configured, from where, and what is refused.

mod permissions;
mod pgbouncer;
mod ports_and_files;
mod postgres_state;
mod postgres_tls;
mod postgres_url;
mod secrets;
mod sources;
mod values;
