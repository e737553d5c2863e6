//! Arguments that several subcommands take.

use clap::Args;

/// `--json`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Json {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `--limit` and `--cursor`.
#[derive(Debug, Args)]
pub struct Paging {
    /// Rows per page, 1 to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// `next_cursor` of the previous page.
    #[arg(long)]
    cursor: Option<String>,
}

impl Paging {
    /// Rows per page.
    pub fn limit(&self) -> usize {
        self.limit.into()
    }

    /// The cursor of the page; `None`: the first one.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}
