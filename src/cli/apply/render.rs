//! Prints a plan and what became of it. No secret is in either.

use serde_json::{Map, Value, json};

use crate::cli::arguments::Json;
use crate::cli::output::{self, escape_terminal};
use crate::failure::Failure;
use crate::service::clients::apply::declaration::{Action, SecretChange};
use crate::service::clients::apply::{ApplyPlan, Step};

/// How many clients a plan creates, and so on.
#[derive(Default)]
pub(super) struct Counts {
    created: usize,
    updated: usize,
    deleted: usize,
    unchanged: usize,
    pending: usize,
}

impl Counts {
    pub(super) fn of(plan: &ApplyPlan) -> Self {
        let mut counts = Self::default();
        for step in &plan.steps {
            *match step.action {
                Action::Create(_) => &mut counts.created,
                Action::Update(_) => &mut counts.updated,
                Action::Delete(_) => &mut counts.deleted,
                Action::Unchanged => &mut counts.unchanged,
                Action::Pending(_) => &mut counts.pending,
            } += 1;
        }
        counts
    }

    /// Clients that are written.
    pub(super) fn changes(&self) -> usize {
        self.created + self.updated + self.deleted
    }
}

/// Prints the clients that change, and their fields.
pub(super) fn plan(plan: &ApplyPlan) -> Result<(), Failure> {
    for step in &plan.steps {
        for line in lines(step) {
            output::text_line(&escape_terminal(&line))?;
        }
    }
    Ok(())
}

fn lines(step: &Step) -> Vec<String> {
    let sign = match &step.action {
        Action::Create(_) => '+',
        Action::Update(_) => '~',
        Action::Delete(_) => return vec![format!("- {}", step.client_id)],
        Action::Unchanged => return Vec::new(),
        Action::Pending(file) => return vec![format!("? {}: its secret is expected in {file}", step.client_id)],
    };
    let mut lines = vec![format!("{sign} {}", step.client_id)];
    let changes = step.changes();
    let none = Map::new();
    for (field, change) in changes.as_object().unwrap_or(&none) {
        lines.push(match (&change["old"], &change["new"]) {
            (Value::Null, new) => format!("    + {field}: {new}"),
            (old, Value::Null) => format!("    - {field}: {old}"),
            (old, new) => format!("    ~ {field}: {old} -> {new}"),
        });
    }
    lines.extend(match step.secret {
        SecretChange::None => None,
        SecretChange::Given => Some("    + secret: as declared".to_owned()),
        SecretChange::Generated => Some("    + secret: generated".to_owned()),
        SecretChange::Rotated(overlap) => Some(format!(
            "    ~ secret: rotated; the previous one remains valid for {overlap} s"
        )),
    });
    lines
}

/// Prints the counts; as JSON the whole plan.
pub(super) fn result(plan: &ApplyPlan, counts: &Counts, dry_run: bool, json: Json) -> Result<(), Failure> {
    let Counts {
        created,
        updated,
        deleted,
        unchanged,
        pending,
    } = counts;
    if json.json {
        let steps: Vec<Value> = plan.steps.iter().map(document).collect();
        return output::json(&json!({
            "dry_run": dry_run, "created": created, "updated": updated, "deleted": deleted, "unchanged": unchanged,
            "pending": pending, "clients": steps,
        }));
    }
    output::text_line(&if dry_run {
        format!(
            "{created} to create, {updated} to update, {deleted} to delete, {unchanged} unchanged, {pending} pending; nothing was changed"
        )
    } else {
        format!("{created} created, {updated} updated, {deleted} deleted, {unchanged} unchanged, {pending} pending")
    })
}

fn document(step: &Step) -> Value {
    let action = match &step.action {
        Action::Create(_) => "create",
        Action::Update(_) => "update",
        Action::Delete(_) => "delete",
        Action::Unchanged => "unchanged",
        Action::Pending(_) => "pending",
    };
    let mut document = json!({
        "client_id": &*step.client_id, "owner": &*step.owner, "action": action, "changes": step.changes(),
        "secret": match step.secret {
            SecretChange::None => Value::Null,
            SecretChange::Given => "declared".into(),
            SecretChange::Generated => "generated".into(),
            SecretChange::Rotated(_) => "rotated".into(),
        },
    });
    if let Action::Pending(file) = &step.action {
        document["secret_file"] = file.as_str().into();
    }
    document
}
