//! One page of a list.

/// Rows of a list and the cursor of the next page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// At most as many rows as requested.
    pub items: Vec<T>,
    /// Cursor of the next page: the key of the last row. `None` = this is the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts `items`, which were read with a limit of `limit + 1`, to one page; `key` returns the cursor of a row.
    pub fn cut(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
