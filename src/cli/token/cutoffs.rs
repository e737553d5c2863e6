//! `token cutoffs` and `token correct-cutoff`.

use clap::Args;
use oauth2_store::model::CutOff;

use crate::app::direct::{Direct, operator};
use crate::cli::arguments::{Json, Paging};
use crate::cli::{flags, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::cut_offs::CutOffView;
use crate::service::page::PageView;

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub struct Correct {
    /// Id of the cut-off, from `token cutoffs`.
    #[arg(value_name = "CUTOFF-ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,
    #[command(flatten)]
    json: Json,
}

pub async fn list(config: &Config, list: &List) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let cut_offs = &direct.services.cut_offs;
    let listed = cut_offs.list(list.paging.cursor(), list.paging.limit(), direct.deadline());
    let listed = listed.await.map_err(|error| flags::failure(error, &[]))?;
    let view = |row| CutOffView::new(row, &listed.time);
    if list.json.json {
        return output::json(&PageView::new(&listed.page, view));
    }
    let row = |row: &CutOff| {
        let view = CutOffView::new(row, &listed.time);
        let note = match (view.revokes_new_tokens, view.is_in_future) {
            (true, _) => "revokes new tokens: run token correct-cutoff",
            (false, true) => "in the future; new tokens have later ids",
            (false, false) if view.corrected_from_ms.is_some() => "corrected",
            (false, false) => "",
        };
        vec![
            view.id.to_string(),
            view.target_kind.to_owned(),
            output::or_dash(Some(view.target_id).filter(|id| !id.is_empty())),
            output::date((view.revoked_before_ms / 1000) as i64),
            note.to_owned(),
        ]
    };
    let rows: Vec<_> = listed.page.items.iter().map(row).collect();
    output::table(&["ID", "KIND", "TARGET", "REVOKED BEFORE", "NOTE"], &rows)?;
    output::more(listed.page.next.as_deref());
    Ok(())
}

pub async fn correct(config: &Config, correct: &Correct) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let (cut_off, time) = direct
        .services
        .cut_offs
        .correct(&operator(), correct.id, direct.deadline())
        .await?;
    let view = CutOffView::new(&cut_off, &time);
    if correct.json.json {
        return output::json(&view);
    }
    output::text_line(&format!(
        "the cut-off {} is corrected: it revokes tokens issued before {}",
        view.id,
        output::date((view.revoked_before_ms / 1000) as i64)
    ))
}
