//! Flags and variables that messages name: each must exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;
use crate::config::TABLE;
use crate::config::table::Notation;

/// Flags of other programs: `kc.sh export` of Keycloak.
const OF_OTHER_PROGRAMS: [&str; 1] = ["--realm"];

/// The sources without tests.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "tests" || name == "names_in_messages" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The words of the code, without comments and tests, that begin so: file, line and word.
fn words(begins: &str, is_part: fn(char) -> bool) -> Vec<(String, String)> {
    let (root, mut files) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), Vec::new());
    sources(&root, &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
        for (number, line) in (1..).zip(code).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices(begins) {
                let is_inside = line[..at].ends_with(|c: char| is_part(c) || c.is_ascii_alphanumeric());
                let rest = &line[at + begins.len()..];
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                if !is_inside && end > 0 {
                    let word = format!("{begins}{}", &rest[..end]);
                    found.push((format!("{}:{number}", file.display()), word));
                }
            }
        }
    }
    found
}

fn flags(command: &clap::Command, found: &mut BTreeSet<String>) {
    let own = command
        .get_arguments()
        .filter_map(clap::Arg::get_long_and_visible_aliases);
    found.extend(own.flatten().map(|name| format!("--{name}")));
    for command in command.get_subcommands() {
        flags(command, found);
    }
}

#[test]
fn every_flag_in_a_message_exists() {
    let mut known: BTreeSet<String> = ["--help", "--version"].map(str::to_owned).into();
    flags(&Cli::command(), &mut known);
    known.extend(OF_OTHER_PROGRAMS.map(str::to_owned));
    let named = words("--", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    assert!(named.len() > 50, "the sources are read");
    let unknown: Vec<_> = named
        .iter()
        .filter(|(_, flag)| flag.trim_matches('-').len() > 1 && !known.contains(flag.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_variable_in_a_message_exists() {
    let named = words("OAUTH2_", |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    assert!(named.len() > 50, "the sources are read");
    let unknown: Vec<_> = named
        .iter()
        .filter(|(_, name)| TABLE.find(name, Notation::Variable).is_none())
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
