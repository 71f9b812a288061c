//! Standing bindings: what ports are to be held to that may not be there yet.
//!
//! A file each, below the folder for what outlives a reboot. A port that appears is held to the one that knows it best: by its
//! name, then by the virtual machine's MAC address, then by a pattern of names, of which the longest goes first. What is said
//! twice is decided by the name of the binding, so that it is always the same.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as, skip_serializing_none};

use super::sealed::{seal, unseal};
use super::{Binding, Folders, StoreError, files};
use crate::model::{MacAddr, ProfileName};
use crate::netdev::{Interface, LONGEST_NAME};

/// Version of the files' form.
const VERSION: u32 = 2;
/// What libvirt puts in the place of a MAC address' first byte, on the host's side of a tap.
const HOST_SIDE: u8 = 0xfe;

/// Which ports a standing binding is for. All that it says must hold; it says something.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Their name.
    pub port: Option<String>,
    /// What their name looks like: `*` stands for any characters, `?` for one.
    pub pattern: Option<String>,
    /// The MAC address of the virtual machine behind it, which the port has, too, but for the first byte (`fe`).
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub mac: Option<MacAddr>,
}

impl Selector {
    /// What is wrong with it, if anything is.
    pub fn problem(&self) -> Option<String> {
        let name = |what: &str, text: &str| {
            let fits = !text.is_empty()
                && text.len() <= LONGEST_NAME
                && !text.chars().any(|found| found.is_whitespace() || found == '/' || found == ':');
            (!fits).then(|| {
                format!(
                    "{what}: found `{text}`, expected 1 to {LONGEST_NAME} bytes without blanks, `/` and `:`"
                )
            })
        };
        if *self == Self::default() {
            return Some("it is for no port: say its name, a pattern of names, or a MAC address".to_owned());
        }
        let port = self.port.as_ref().and_then(|port| name("port", port));
        port.or_else(|| self.pattern.as_ref().and_then(|pattern| name("pattern", pattern)))
    }

    /// How well it knows an interface; nothing if it is not for it.
    fn knows(&self, interface: &Interface) -> Option<u32> {
        let named = self.port.as_ref().is_none_or(|port| *port == interface.name);
        let like = self.pattern.as_ref().is_none_or(|pattern| matches(pattern, &interface.name));
        let of_machine = self.mac.is_none_or(|mac| interface.mac.is_some_and(|found| is_tap_of(mac, found)));
        (named && like && of_machine).then(|| {
            let pattern = self.pattern.as_ref().map_or(0, |pattern| pattern.len() as u32);
            u32::from(self.port.is_some()) << 9 | u32::from(self.mac.is_some()) << 8 | pattern.min(255)
        })
    }
}

/// Whether an interface with the second address may be the tap of a machine with the first.
fn is_tap_of(machine: MacAddr, tap: MacAddr) -> bool {
    let [_, ref rest @ ..] = machine.0;
    let [first, ref of_tap @ ..] = tap.0;
    rest == of_tap && (first == machine.0[0] || first == HOST_SIDE)
}

/// Whether a name looks like a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut in_name) = (0, 0);
    // Where the last star stands, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(&found) if found == b'?' || found == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((of_star, taken)) = &mut star else { return false };
                *taken += 1;
                (at, in_name) = (*of_star + 1, *taken);
            }
        }
    }
    pattern[at..].iter().all(|&left| left == b'*')
}

/// A standing binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Which ports it is for.
    pub selector: Selector,
    /// What they are held to.
    pub binding: Binding,
}

impl Standing {
    /// All of them, by name, and what is wrong with files that are damaged.
    pub fn load_all(folders: &Folders) -> Result<(Vec<Self>, Vec<StoreError>), StoreError> {
        let folder = folder(folders);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((vec![], vec![])),
            Err(error) => return Err(StoreError::io(&folder, error)),
        };
        let (mut all, mut damaged) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = entry.map_err(|error| StoreError::io(&folder, error))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(standing) => all.push(standing),
                Err(error) => damaged.push(error),
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((all, damaged))
    }

    /// Keeps it, in the place of one of the same name.
    pub fn save(&self, folders: &Folders) -> Result<(), StoreError> {
        let path = path(folders, &self.name);
        let text = seal(VERSION, self).map_err(|error| StoreError::io(&path, error))?;
        files::write(&path, &text)
    }

    /// Forgets the one of that name. Gives whether there was one, damaged or not.
    pub fn remove(folders: &Folders, name: &ProfileName) -> Result<bool, StoreError> {
        let path = path(folders, name.as_str());
        let there = path.symlink_metadata().is_ok();
        files::remove(&path)?;
        Ok(there)
    }

    /// The one of those that knows an interface best, if any is for it.
    pub fn of<'a>(all: &'a [Self], interface: &Interface) -> Option<&'a Self> {
        let known = all.iter().filter_map(|standing| {
            standing.selector.knows(interface).map(|how_well| (Reverse(how_well), &standing.name, standing))
        });
        known.min_by_key(|(how_well, name, _)| (*how_well, *name)).map(|(_, _, standing)| standing)
    }
}

fn folder(folders: &Folders) -> PathBuf {
    folders.state.join("bindings")
}

fn path(folders: &Folders, name: &str) -> PathBuf {
    // A name has no separators: see `ProfileName`, whose rules hold for these, too.
    folder(folders).join(format!("{name}.json"))
}

fn read(path: &Path) -> Result<Standing, StoreError> {
    let text = fs::read(path).map_err(|error| StoreError::io(path, error))?;
    let advised = |error: StoreError| match error {
        StoreError::Damaged { path, message } => StoreError::Damaged {
            path,
            message: format!(
                "{message}; ports that appear are not held to it: `bind` it again, or `unbind` it"
            ),
        },
        other => other,
    };
    let standing: Standing = unseal(VERSION, path, &text).map_err(advised)?;
    let named = path.file_stem().and_then(|stem| stem.to_str());
    if named != Some(standing.name.as_str()) {
        let message = format!("found the name `{}` in it", standing.name);
        return Err(advised(StoreError::Damaged { path: path.to_owned(), message }));
    }
    Ok(standing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netdev::InterfaceKind;

    fn interface(name: &str, mac: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            ifindex: 7,
            kind: InterfaceKind::Tap,
            mac: mac.parse().ok(),
            up: false,
        }
    }

    fn binding() -> Binding {
        serde_json::from_value(serde_json::json!({
            "profiles": ["own-mac-only"], "mac": null, "addresses": [], "parameters": {},
            "mode": "strict", "fail": "closed"
        }))
        .expect("it is one")
    }

    fn standing(name: &str, selector: Selector) -> Standing {
        Standing { name: name.to_owned(), selector, binding: binding() }
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name) in [
            ("vnet*", "vnet0"),
            ("vnet*", "vnet"),
            ("*", "a"),
            ("v?et*0", "vnet10"),
            ("*a*b", "xaybab"),
            ("tap7", "tap7"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("vnet*", "xvnet0"),
            ("vnet?", "vnet"),
            ("v?et", "veet0"),
            ("*a*b", "xaybaba"),
            ("", "a"),
            ("tap7", "tap70"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn whoever_knows_a_port_best_has_it() {
        let mac: MacAddr = "52:54:00:12:34:56".parse().expect("it is one");
        let all = [
            standing("all", Selector { pattern: Some("*".to_owned()), ..Selector::default() }),
            standing("taps", Selector { pattern: Some("vnet*".to_owned()), ..Selector::default() }),
            standing("twin", Selector { pattern: Some("vnet*".to_owned()), ..Selector::default() }),
            standing("machine", Selector { mac: Some(mac), ..Selector::default() }),
            standing("port", Selector { port: Some("vnet3".to_owned()), ..Selector::default() }),
        ];
        let of = |name: &str, mac: &str| Standing::of(&all, &interface(name, mac)).map(|it| it.name.as_str());
        assert_eq!(of("tap0", "52:54:00:00:00:01"), Some("all"));
        assert_eq!(of("vnet0", "52:54:00:00:00:01"), Some("taps"));
        assert_eq!(of("vnet0", "fe:54:00:12:34:56"), Some("machine"));
        assert_eq!(of("vnet0", "52:54:00:12:34:56"), Some("machine"));
        assert_eq!(of("vnet0", "02:54:00:12:34:56"), Some("taps"), "another machine's");
        assert_eq!(of("vnet3", "fe:54:00:12:34:56"), Some("port"));
        assert_eq!(Standing::of(&all[3..], &interface("tap0", "52:54:00:00:00:01")), None);
    }

    #[test]
    fn what_is_kept_is_found_again_and_damage_hides_nothing_else() {
        let folder = tempfile::tempdir().expect("there is room");
        let folders = Folders::new(Some(folder.path()), None);
        assert_eq!(Standing::load_all(&folders).expect("none is no error").0, []);
        let one = standing("one", Selector { pattern: Some("vnet*".to_owned()), ..Selector::default() });
        let two = standing("two", Selector { port: Some("tap0".to_owned()), ..Selector::default() });
        let three = standing("three", Selector { pattern: Some("tap*".to_owned()), ..Selector::default() });
        one.save(&folders).expect("there is room");
        two.save(&folders).expect("there is room");
        fs::write(path(&folders, "cut"), b"{\"version\": 1, \"na").expect("there is room");
        fs::write(path(&folders, "other"), fs::read(path(&folders, "one")).expect("it is there"))
            .expect("there is room");
        // A letter of it is another: it is good JSON all the same.
        let text = fs::read_to_string(path(&folders, "one")).expect("it is there");
        three.save(&folders).expect("there is room");
        let of_three = fs::read_to_string(path(&folders, "three")).expect("it is there");
        assert!(of_three.contains("\"tap*\"") && text != of_three);
        fs::write(path(&folders, "three"), of_three.replace("\"tap*\"", "\"tbp*\"")).expect("there is room");
        let (all, damaged) = Standing::load_all(&folders).expect("it can be read");
        assert_eq!(all, [one, two]);
        assert_eq!(damaged.len(), 3, "{damaged:?}");
        assert!(damaged.iter().any(|error| error.to_string().contains("checksum")), "{damaged:?}");
        let name = |text: &str| text.parse::<ProfileName>().expect("it is a name");
        assert!(Standing::remove(&folders, &name("cut")).expect("it goes"));
        assert!(!Standing::remove(&folders, &name("cut")).expect("it is no error"));
    }
}
