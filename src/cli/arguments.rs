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

/// Parses a duration in seconds, minutes, hours or days, such as `90`, `30m`, `12h` or `7d`.
pub fn seconds(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, "s"),
    };
    let scale = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 1,
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|number| number.checked_mul(scale))
        .ok_or_else(|| "must be a duration such as 90s, 30m, 12h or 7d".to_owned())
}
