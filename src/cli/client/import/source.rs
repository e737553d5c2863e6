//! Where rows come from: a text that is read twice, or the export of another product, which is translated once.

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::super::text_format::Format;
use super::rejected_rows::RowName;
use super::translation::{self, From};
use crate::failure::Failure;
use crate::service::clients::from::{TranslatedClient, Translation};
use crate::service::clients::text::{NumberedRow, RowReader, TextFormat};

/// The rows of an import, which can be read again.
pub enum Source {
    /// A file, or a copy of stdin.
    Text(PathBuf, File, TextFormat),
    /// An export.
    Translated(Box<Translation>),
}

/// The rows, from the first one on.
pub enum Rows<'a> {
    /// Of a text.
    Text(&'a Path, Box<RowReader<&'a mut File>>),
    /// Of an export.
    Translated(std::iter::Enumerate<std::slice::Iter<'a, TranslatedClient>>),
}

impl Source {
    /// Opens the file that the command names, or translates it.
    pub fn open(file: &Path, format: Option<Format>, from: &From) -> Result<Self, Failure> {
        if let Some(product) = from.product {
            let translation = translation::translate(product, file, from)?;
            return Ok(Self::Translated(Box::new(translation)));
        }
        let format = Format::of(format, file)?;
        Ok(Self::Text(file.to_owned(), open(file)?, format))
    }

    /// The translation, if the rows are from an export.
    pub fn translation(&self) -> Option<&Translation> {
        match self {
            Self::Text(..) => None,
            Self::Translated(translation) => Some(translation),
        }
    }

    /// The names of rows that have no line.
    pub fn names(&self) -> Option<Vec<RowName>> {
        let name = |client: &TranslatedClient| RowName {
            client_id: client.client_id.clone(),
            position: client.position.clone(),
            fields: client.fields.clone(),
        };
        Some(self.translation()?.clients.iter().map(name).collect())
    }

    /// The rows from the first one on.
    pub fn rows(&mut self) -> Result<Rows<'_>, Failure> {
        match self {
            Self::Text(path, file, format) => {
                file.rewind().map_err(|error| cannot_read(path, &error))?;
                let reader = RowReader::new(file, *format).map_err(|error| cannot_read(path, &error))?;
                let reader = reader.map_err(|error| Failure::Invalid(format!("{}: {error}", path.display())))?;
                Ok(Rows::Text(path, Box::new(reader)))
            }
            Self::Translated(translation) => Ok(Rows::Translated(translation.clients.iter().enumerate())),
        }
    }
}

impl Rows<'_> {
    /// The next row; `None` at the end.
    pub fn read_next(&mut self) -> Result<Option<NumberedRow>, Failure> {
        match self {
            Self::Text(path, reader) => reader.read_next().map_err(|error| cannot_read(path, &error)),
            Self::Translated(clients) => {
                let next = clients.next();
                Ok(next.map(|(index, client)| client.row(index as u64 + 1)))
            }
        }
    }
}

/// Opens the file so that it can be read twice: stdin is copied to an anonymous temporary file.
fn open(file: &Path) -> Result<File, Failure> {
    if file != Path::new("-") {
        return File::open(file)
            .map_err(|error| Failure::Invalid(format!("{} cannot be read: {error}", file.display())));
    }
    let copy = || {
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut io::stdin().lock(), &mut copy)?;
        Ok(copy)
    };
    copy().map_err(|error: io::Error| {
        Failure::Environment(format!("stdin cannot be copied to a temporary file: {error}"))
    })
}

fn cannot_read(file: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("{} cannot be read: {error}", file.display()))
}
