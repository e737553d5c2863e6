//! `/admin/v1/keys`: the public side of the signing keys.

use actix_web::HttpResponse;
use oauth2_actors::model::Page;

use super::{App, Failure, answer_page, deadline};
use crate::oauth::view::KeyView;

/// Lists the keys, oldest first. There are few: the list is one page.
pub async fn list(state: App) -> Result<HttpResponse, Failure> {
    let items = state
        .tokens
        .call(deadline(), |store| async move { store.keys().await })
        .await?;
    Ok(answer_page(&Page { items, next: None }, KeyView::new))
}
