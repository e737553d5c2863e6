//! `completions` and `man`: the command line for shells and for man(1).

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

use super::output;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for every subcommand into this directory, instead of the first page to stdout.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn completions(asked: &Completions) -> Result<(), Failure> {
    let (mut command, mut text) = (super::command(), Vec::new());
    let name = command.get_name().to_owned();
    clap_complete::generate(asked.shell, &mut command, name, &mut text);
    output::text_line(String::from_utf8_lossy(&text).trim_end())
}

pub fn man(asked: &Man) -> Result<(), Failure> {
    match &asked.out {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(super::command())
                .render(&mut text)
                .map_err(Failure::environment)?;
            output::text_line(String::from_utf8_lossy(&text).trim_end())
        }
        Some(directory) => pages(directory)
            .map_err(|error| Failure::Environment(format!("--out {} cannot be written: {error}", directory.display()))),
    }
}

fn pages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(super::command(), directory)
}
