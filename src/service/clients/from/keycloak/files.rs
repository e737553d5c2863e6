//! Exports of Keycloak: a file with one realm, a file with all realms, or a directory with a file per realm and files of its users.

use std::path::{Path, PathBuf};

use crate::service::clients::from::export::{Export, Row};

/// The end of the name of a file with a realm, as `kc.sh export --dir` names it.
const REALM: &str = "-realm.json";

/// Reads a file, or the only realm of a directory.
pub(in crate::service::clients::from) fn read(path: &Path) -> Result<Export, String> {
    let mut realms: Vec<PathBuf> = Vec::new();
    let mut others = Vec::new();
    // A file, or nothing, is read below.
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(REALM) {
            realms.push(entry.path());
        } else if let Some(name) = name.strip_suffix(".json") {
            others.push(name.to_owned());
        }
    }
    realms.sort();
    others.sort();
    match realms.as_slice() {
        [] => Export::read(path),
        [realm] => {
            let mut export = Export::read(realm)?;
            export.files = realms;
            export.others = others;
            Ok(export)
        }
        _ => {
            let names = realms.iter().filter_map(|realm| realm.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            Err(format!(
                "has {} realms: give one of the files {}",
                realms.len(),
                names.join(", ")
            ))
        }
    }
}

/// Rejects a list of realms, which the rows are then.
pub(super) fn reject_realms(rows: &[Row]) -> Result<(), String> {
    let realm = |(_, members): &Row| {
        let is_realm = !members.contains_key("clientId") && members.contains_key("realm");
        is_realm.then(|| members["realm"].as_str().unwrap_or_default().to_owned())
    };
    let realms: Vec<String> = rows.iter().filter_map(realm).collect();
    if realms.is_empty() {
        return Ok(());
    }
    Err(format!(
        "is an export of all realms ({}): export one of them with kc.sh export --realm REALM --file FILE",
        realms.join(", ")
    ))
}
