//! A page of a list, as the admin API and the command line show it.

use oauth2_store::model::Page;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub struct PageView<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

impl<T> PageView<T> {
    /// A page whose items are shown by `view`.
    pub fn new<'a, R>(page: &'a Page<R>, view: impl FnMut(&'a R) -> T) -> Self {
        Self {
            items: page.items.iter().map(view).collect(),
            next_cursor: page.next.clone(),
        }
    }

    /// A list of one page.
    pub fn only(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}
