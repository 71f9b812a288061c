//! Taking over a folder of libvirt's filters, and saying what becomes of each.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::args::ChangeArgs;
use crate::engine::{Fate, Import, Imported};
use crate::service::failure::{CHECK, Failure, INVALID};
use crate::service::{ImportFilters, UnreadDocument};
use crate::xml::{self, FileError, Reading};

impl Context {
    pub(super) fn import(
        &self,
        folder: &Path,
        reading: Reading,
        change: ChangeArgs,
        (keep_going, dry_run): (bool, bool),
    ) -> Result<(), Failure> {
        let files = documents(folder)?;
        if files.is_empty() {
            return Err(Failure::new(INVALID, format!("{}: there is no file *.xml in it", folder.display())));
        }
        let documents = files.iter().map(|file| document(file)).collect();
        let import =
            self.call(ImportFilters { documents, reading, flows: change.flows, keep_going, dry_run })?;
        let summary = Summary::of(&import);
        let value = json!({
            "done": import.done,
            "dry_run": dry_run,
            "imported": summary.imported,
            "there_already": summary.there,
            "left": summary.left,
            "files": import.files,
            "ports": import.ports,
        });
        self.print_changed(&value, || text(&import, &summary, dry_run))?;
        if summary.left == 0 {
            return Ok(());
        }
        let of = format!("{} of {} files are bad", summary.left, import.files.len());
        let message = match (import.done, dry_run) {
            (true, _) => format!("{of} and were left"),
            (false, true) => of,
            (false, false) => format!("{of}, so nothing was imported; --keep-going imports the others"),
        };
        Err(Failure::said(CHECK, message, self.json))
    }
}

/// The files of a folder that may hold filters, by name.
fn documents(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))? {
        let path = entry.map_err(|error| Failure::io(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn document(path: &Path) -> UnreadDocument {
    let file = path.display().to_string();
    match xml::read_profile_file(path) {
        Ok(text) => UnreadDocument { file, xml: Some(text), error: None },
        // The file's name stands before it already.
        Err(FileError::Xml { error, .. }) => {
            UnreadDocument { file, xml: None, error: Some(error.to_string()) }
        }
        Err(error) => UnreadDocument { file, xml: None, error: Some(error.to_string()) },
    }
}

/// How many files met which fate.
struct Summary {
    imported: usize,
    there: usize,
    left: usize,
}

impl Summary {
    fn of(import: &Import) -> Self {
        let count = |is: fn(Fate) -> bool| import.files.iter().filter(|file| is(file.fate)).count();
        Self {
            imported: if import.done { count(Fate::is_imported) } else { 0 },
            there: count(|fate| matches!(fate, Fate::Shipped | Fate::Unchanged)),
            left: count(|fate| fate == Fate::Left),
        }
    }
}

fn text(import: &Import, summary: &Summary, dry_run: bool) -> String {
    let mut text = String::new();
    let mut differ = false;
    for file in &import.files {
        text += &of_file(file, import.done);
        if file.fate != Fate::Left {
            for difference in &file.differences {
                differ = true;
                text += &format!("  {}: {}\n", rules(&difference.rules), difference.meaning);
            }
        }
    }
    if differ {
        text += "Rules that differ from libvirt's do what is written in them. With --mode libvirt most do what libvirt makes \
                 of them; docs/from-libvirt.md says which do not.\n";
    }
    let Summary { imported, there, left } = summary;
    let would = import.files.iter().filter(|file| file.fate.is_imported()).count();
    text += &match (import.done, dry_run) {
        (true, _) => format!("{imported} imported, {there} there already, {left} left\n"),
        (false, true) => {
            format!("{would} to be imported, {there} there already, {left} bad; nothing was changed\n")
        }
        (false, false) => format!("0 imported, {there} there already, {left} bad; nothing was changed\n"),
    };
    if !import.ports.is_empty() {
        text += &format!("in force on {}\n", import.ports.join(", "));
    }
    text
}

fn of_file(file: &Imported, done: bool) -> String {
    let path = file.file.display();
    let name = file.name.as_deref().unwrap_or_default();
    let is = if done { "is" } else { "can be" };
    let mut text = match file.fate {
        Fate::New => format!("{path}: {name} {is} imported\n"),
        Fate::Changed => format!("{path}: {name} {is} imported in the place of yours of that name\n"),
        Fate::InPlaceOfShipped => format!(
            "{path}: {name} {is} imported as yours; it differs from the shipped one, in whose place it stands\n"
        ),
        Fate::Shipped => format!("{path}: {name} is left to the shipped one, which means the same\n"),
        Fate::Unchanged => format!("{path}: {name} is there already\n"),
        Fate::Left => {
            let because = file.because.as_deref().unwrap_or_default();
            let place = if because.starts_with(|first: char| first.is_ascii_digit()) { ":" } else { ": " };
            format!("{path}{place}{because}\n")
        }
    };
    for warning in &file.warnings {
        text += &format!("  {warning}\n");
    }
    text
}

/// Numbers of rules, runs of them by their ends.
fn rules(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    format!("{} {}", if numbers.len() == 1 { "rule" } else { "rules" }, runs.join(", "))
}
