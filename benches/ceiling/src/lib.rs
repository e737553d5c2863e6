//! Modules of the ceiling, the baseline of the benchmark.

pub mod clock;
pub mod token;
