//! Keys as a table or as JSON.

use crate::app::direct::Direct;
use crate::cli::arguments::Json;
use crate::cli::output;
use crate::failure::Failure;
use crate::service::keys::view::KeyView;
use crate::service::page::PageView;

/// Prints the keys whose ids are selected.
pub async fn print(direct: &Direct, json: Json, is_selected: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let keys = &direct.services.keys;
    let found = keys.list(direct.deadline()).await?;
    let mut views = KeyView::all(&found, &keys.timing);
    views.retain(|view| is_selected(view.kid));
    if json.json {
        return output::json(&PageView::only(views));
    }
    let row = |view: &KeyView<'_>| {
        vec![
            view.kid.to_owned(),
            view.algorithm.to_string(),
            view.state.as_str().to_owned(),
            output::date(view.created_at),
            output::or_dash(view.signs_from.map(output::date)),
            output::or_dash(view.kept_until.map(output::date)),
            output::or_dash(view.issuer.map(str::to_owned)),
        ]
    };
    let rows: Vec<_> = views.iter().map(row).collect();
    output::table(
        &[
            "KID",
            "ALGORITHM",
            "STATE",
            "PUBLISHED",
            "SIGNS FROM",
            "KEPT UNTIL",
            "ISSUER",
        ],
        &rows,
    )
}
