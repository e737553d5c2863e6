//! One page of a list.

/// Rows of a list and where the next page begins.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// At most as many rows as asked for.
    pub items: Vec<T>,
    /// The last row's key if there is more; give it back to go on.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts `items`, fetched with a limit of `limit + 1`, to a page; `key` names a row.
    pub fn cut(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
