//! The table of metrics: each has one row, from which its instrument is created and `docs/metrics.md` is generated.
//!
//! [`row`] says what a row has; the other modules are sections of the page. The rows of requests are with the endpoints, in the
//! package of the server.

pub mod actors;
pub mod bus;
pub mod keys;
pub mod limits;
pub mod process;
mod row;
pub mod store;
pub mod tls;
pub mod tokens;

pub(super) use row::NAMESPACE;
pub use row::{Kind, LabelSet, Metric, SECONDS, Stability, Stores, Values, counter, gauge, histogram};

/// The sections of the page that follow the one about requests: titles and rows.
pub const SECTIONS: [(&str, &[Metric]); 8] = [
    ("limits", limits::ALL),
    ("tokens", tokens::ALL),
    ("keys", keys::ALL),
    ("store", store::ALL),
    ("actors", actors::ALL),
    ("bus", bus::ALL),
    ("tls", tls::ALL),
    ("process", process::ALL),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_one_plain_sentence_without_a_stop() {
        for row in SECTIONS.iter().flat_map(|(_, rows)| *rows) {
            let is_plain = !row.help.contains(['`', '\n', '|']) && !row.help.ends_with('.');
            assert!(is_plain && row.help.len() < 110, "{}: {}", row.name, row.help);
        }
    }
}
