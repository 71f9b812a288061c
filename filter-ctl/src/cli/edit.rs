//! Editing a profile in the operator's editor, without ever losing what was typed.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::failure::{Failure, INVALID};

/// Lets the operator edit `text` until `accept` takes it or they give up. `Ok(None)`: nothing was changed.
pub fn edit<T>(
    name: &str,
    text: &str,
    mut accept: impl FnMut(&Path) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let path = create(name, text)?;
    loop {
        run_editor(&path)?;
        let edited = fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
        if edited == text {
            remove(&path);
            return Ok(None);
        }
        match accept(&path) {
            Ok(value) => {
                remove(&path);
                return Ok(Some(value));
            }
            Err(failure) => {
                let kept = format!("{}\nyour text is kept in {}", failure.message, path.display());
                if !ask(&kept) {
                    return Err(Failure { message: kept, ..failure });
                }
            }
        }
    }
}

/// A new file in a folder of our own, so that nobody else can put something in its place.
fn create(name: &str, text: &str) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let base = env::temp_dir();
    for attempt in 0..100u32 {
        let folder = base.join(format!("filter-ctl-{}-{attempt}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {
                let path = folder.join(format!("{name}.xml"));
                let mut file = fs::File::options()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(|error| Failure::io(&path, &error))?;
                file.write_all(text.as_bytes()).map_err(|error| Failure::io(&path, &error))?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::io(&folder, &error)),
        }
    }
    Err(Failure::new(1, format!("{}: no free name for a temporary folder", base.display())))
}

fn remove(path: &Path) {
    // What is left of a temporary folder harms nobody.
    let _ = fs::remove_file(path);
    if let Some(folder) = path.parent() {
        let _ = fs::remove_dir(folder);
    }
}

fn run_editor(path: &Path) -> Result<(), Failure> {
    let editor = env::var("VISUAL").or_else(|_| env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    // As the words they are, by no shell.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let kept = format!("your text is kept in {}", path.display());
    match Command::new(program).args(words).arg(path).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Failure::new(INVALID, format!("the editor `{editor}` ended with {status}; {kept}")))
        }
        Err(error) => Err(Failure::new(
            1,
            format!("the editor `{editor}` could not be run: {error}; set EDITOR; {kept}"),
        )),
    }
}

/// Whether the operator wants to go on; without one there is nobody to ask.
fn ask(what: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    eprint!("{what}\nEdit again? [Y/n] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok_and(|read| read != 0)
        && !answer.trim().to_lowercase().starts_with('n')
}
