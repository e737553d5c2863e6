//! What the store's tests stand on.

pub mod postgres;
