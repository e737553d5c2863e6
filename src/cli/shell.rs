//! `completions` and `man`.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
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
    /// Write a page per subcommand into this directory; without it the main page is printed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn completions(options: &Completions, mut command: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut text);
    output::text_line(String::from_utf8_lossy(&text).trim_end())
}

pub fn man(options: &Man, command: Command) -> Result<(), Failure> {
    match &options.out {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut text)
                .map_err(Failure::environment)?;
            output::text_line(String::from_utf8_lossy(&text).trim_end())
        }
        Some(directory) => pages(directory, command)
            .map_err(|error| Failure::Environment(format!("--out {} cannot be written: {error}", directory.display()))),
    }
}

fn pages(directory: &Path, command: Command) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}
