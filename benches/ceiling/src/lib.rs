//! What the two programs of the benchmark are made of.

pub mod clock;
pub mod token;
