//! The files of clients: named one by one, in directories, and on stdin.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cli::exposure;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::apply::declaration::DeclaredSecret;
use crate::service::clients::apply::documents::{DocumentFormat, Documents};

/// Reads every file. Errors in them are in [`Documents::errors`]. The modes of files with a secret are judged.
pub(super) fn read(config: &Config, paths: &[PathBuf], owner: Option<&str>) -> Result<Documents, Failure> {
    let mut documents = Documents::default();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            read.map_err(|error| Failure::Environment(format!("stdin cannot be read: {error}")))?;
            documents.read("stdin", &text, DocumentFormat::Yaml, owner);
        } else if path.is_dir() {
            let files = of_directory(path)?;
            for file in files {
                add(config, &mut documents, &file, owner)?;
            }
        } else {
            add(config, &mut documents, path, owner)?;
        }
    }
    Ok(documents)
}

/// The files of a directory, by name. Hidden ones are left out: a mounted volume keeps its earlier versions in them. Subdirectories are left
/// out, too. Everything else with such a name must be readable: with `--prune`, a file that is left out deletes its clients.
fn of_directory(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error: std::io::Error| Failure::Invalid(format!("{} cannot be read: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || format(&path).is_none() {
            continue;
        }
        let found = std::fs::metadata(&path)
            .map_err(|error| Failure::Invalid(format!("{} cannot be read: {error}", path.display())))?;
        if found.is_dir() {
            continue;
        }
        if !found.is_file() {
            return Err(Failure::Invalid(format!("{} is not a regular file", path.display())));
        }
        files.push(path);
    }
    if files.is_empty() {
        let problem = format!(
            "{} has no file with the extension yaml, yml or json",
            directory.display()
        );
        return Err(Failure::Invalid(problem));
    }
    files.sort();
    Ok(files)
}

fn format(path: &Path) -> Option<DocumentFormat> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "yaml" | "yml" => Some(DocumentFormat::Yaml),
        "json" => Some(DocumentFormat::Json),
        _ => None,
    }
}

fn add(config: &Config, documents: &mut Documents, path: &Path, owner: Option<&str>) -> Result<(), Failure> {
    let name = path.display().to_string();
    let format =
        format(path).ok_or_else(|| Failure::Invalid(format!("{name} must have the extension yaml, yml or json")))?;
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::Invalid(format!("{name} cannot be read: {error}")))?;
    let before = documents.clients.len();
    documents.read(&name, &text, format, owner);
    if documents.clients[before..].iter().any(|one| one.row.has_secret()) {
        exposure::judge(config, path)?;
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    for declaration in documents.clients.iter_mut().skip(before) {
        // A relative path begins at the file that names it.
        if let DeclaredSecret::InFile(file) = &mut declaration.secret {
            *file = directory.join(&*file).display().to_string();
        }
    }
    Ok(())
}
