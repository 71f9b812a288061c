//! The script by which libvirt calls us: `DRIVER.d/filter-ctl` in its folder of hooks.
//!
//! Others' scripts stay: a file that does not carry our mark is neither overwritten nor removed. The script itself
//! knows which operations must never fail, so that even a binary that is gone kills no running machine.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EngineError;
use crate::store::StoreError;

/// The second line of a script that is ours.
const MARK: &str = "# filter-ctl libvirt install-hook wrote this, and uninstall-hook removes it.";
/// The script's name in the folder of a driver.
const NAME: &str = "filter-ctl";

/// What the script is to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookScript {
    /// libvirt's folder of hooks, normally `/etc/libvirt/hooks`.
    pub folder: PathBuf,
    /// libvirt's driver: `qemu` or `lxc`.
    pub driver: String,
    /// Our binary, from the root.
    pub program: PathBuf,
    /// Options before the command: where profiles, ports and pins are.
    pub options: Vec<String>,
    /// Whether libvirt's own references to filters are taken over.
    pub take_over: bool,
}

/// What was done to a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookChanged {
    /// The script.
    pub script: PathBuf,
    /// Whether there was one of ours before.
    pub was_there: bool,
    /// Whether libvirt's daemon has to be restarted before that has an effect: it looks for hooks when it starts.
    pub restart: bool,
}

/// Writes the script, in the place of an older one of ours.
pub fn install_hook(script: &HookScript) -> Result<HookChanged, EngineError> {
    let path = path(&script.folder, &script.driver);
    let before = existing(&path)?;
    let folder = path.parent().unwrap_or(&script.folder);
    match script.folder.parent() {
        Some(above) if !above.is_dir() => {
            return Err(EngineError::NotFound(format!(
                "there is no folder {}: libvirt is not installed here, or has its hooks elsewhere (--folder)",
                above.display()
            )));
        }
        _ => {}
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| StoreError::Io { path: folder.to_owned(), error })?;
    // A name that libvirt would run, if it looked just then, but for its being no executable yet.
    let aside = folder.join(format!(".{NAME}.new"));
    let written = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text(script).as_bytes())?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    })();
    written.map_err(|error| StoreError::Io { path: path.clone(), error })?;
    Ok(HookChanged { script: path, was_there: before, restart: !before })
}

/// Removes the script, if it is ours.
pub fn uninstall_hook(folder: &Path, driver: &str) -> Result<HookChanged, EngineError> {
    let path = path(folder, driver);
    if !existing(&path)? {
        return Err(EngineError::NotFound(format!("there is no {}: it is not installed", path.display())));
    }
    fs::remove_file(&path).map_err(|error| StoreError::Io { path: path.clone(), error })?;
    // The daemon calls what is there: it need not be told that nothing is.
    Ok(HookChanged { script: path, was_there: true, restart: false })
}

fn path(folder: &Path, driver: &str) -> PathBuf {
    folder.join(format!("{driver}.d")).join(NAME)
}

/// Whether there is a script of ours; an error if it is somebody else's.
fn existing(path: &Path) -> Result<bool, EngineError> {
    match fs::read(path) {
        Ok(text) if text.split(|&byte| byte == b'\n').nth(1) == Some(MARK.as_bytes()) => Ok(true),
        Ok(_) => Err(EngineError::Conflict(format!(
            "{} was not written by filter-ctl, and stays as it is; move it away first",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::Io { path: path.to_owned(), error }.into()),
    }
}

fn text(script: &HookScript) -> String {
    let mut words = vec![quoted(&script.program.display().to_string())];
    words.extend(script.options.iter().map(|option| quoted(option)));
    words.extend(["libvirt".to_owned(), "hook".to_owned()]);
    if script.take_over {
        words.push("--take-over".to_owned());
    }
    let call = words.join(" ");
    format!(
        "#!/bin/sh\n{MARK}\n# Called by libvirt: DOMAIN OPERATION SUBOPERATION EXTRA, the domain's document on standard \
         input.\ncase \"$2\" in\n# A failure refuses these.\nprepare|migrate|restore|start|started|attach)\n    \
         exec {call} -- \"$@\" ;;\n# A failure would kill a machine that runs, or help nobody.\n\
         reconnect|stopped|release)\n    {call} -- \"$@\" || : ;;\nesac\nexit 0\n"
    )
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_words_for_the_shell() {
        let folder = tempfile::tempdir().unwrap();
        let hooks = folder.path().join("libvirt's/hooks");
        fs::create_dir(hooks.parent().unwrap()).unwrap();
        // What is called prints its arguments, one a line.
        let program = folder.path().join("pro gram'$(exit 1)");
        fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 3\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = HookScript {
            folder: hooks.clone(),
            driver: "qemu".to_owned(),
            program,
            options: vec!["--root=/a b'".to_owned()],
            take_over: true,
        };
        let installed = install_hook(&script).unwrap();
        assert_eq!((installed.was_there, installed.restart), (false, true));
        let call = |operation: &str| {
            let output = std::process::Command::new(&installed.script)
                .args(["-name; $x", operation, "begin", "-"])
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let printed = "--root=/a b'\nlibvirt\nhook\n--take-over\n--\n-name; $x\n";
        for refusing in ["prepare", "migrate", "restore", "start", "started", "attach"] {
            assert_eq!(call(refusing), (Some(3), format!("{printed}{refusing}\nbegin\n-\n")));
        }
        for forgiving in ["reconnect", "stopped", "release"] {
            assert_eq!(call(forgiving), (Some(0), format!("{printed}{forgiving}\nbegin\n-\n")));
        }
        assert_eq!(call("other"), (Some(0), String::new()));
        // Without the binary nothing starts, and nothing that runs is killed.
        fs::remove_file(&script.program).unwrap();
        assert_eq!((call("start").0, call("reconnect").0), (Some(127), Some(0)));

        let again = install_hook(&script).unwrap();
        assert_eq!((again.was_there, again.restart), (true, false));
        assert!(uninstall_hook(&hooks, "qemu").is_ok());
        assert!(matches!(uninstall_hook(&hooks, "qemu"), Err(EngineError::NotFound(_))));
        fs::write(&installed.script, "#!/bin/sh\nexit 0\n").unwrap();
        assert!(matches!(install_hook(&script), Err(EngineError::Conflict(_))));
        assert!(matches!(uninstall_hook(&hooks, "qemu"), Err(EngineError::Conflict(_))));
        assert_eq!(fs::read_to_string(&installed.script).unwrap(), "#!/bin/sh\nexit 0\n");
    }
}
