//! The machine went down, and a disk has of a file what it likes: nothing of it, half of it, zeros, what was before. Whichever
//! file that is, it is named, its port keeps its policy, and all else goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use filter_tests::cli::{Operator, with_operator};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, connect, datagram};
use serde_json::json;

use super::FILTER_CTL;
use super::profiles::no_ports;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// All files below a folder, with what is in them.
fn files(folder: &Path) -> Files {
    let mut found = Files::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let text = fs::read(&path).unwrap();
            found.insert(path, text);
        }
    }
    found
}

/// Puts files back as they were, and removes all others.
fn restore(root: &Path, wanted: &Files) {
    for path in files(root).into_keys().filter(|path| !wanted.contains_key(path)) {
        fs::remove_file(path).unwrap();
    }
    for (path, text) in wanted {
        fs::write(path, text).unwrap();
    }
}

/// What a disk may have of a file.
fn harms(before: Option<&Vec<u8>>, text: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    // A journal has room behind its lines.
    let filled = text.trim_ascii_end().len();
    let mut harms = vec![
        ("is gone", None),
        ("is empty", Some(Vec::new())),
        ("is cut in half", Some(text[..filled / 2].to_vec())),
        ("is zeros", Some(vec![0; text.len()])),
    ];
    harms.extend(
        before.filter(|before| *before != text).map(|before| ("is from before", Some(before.clone()))),
    );
    harms
}

fn prepare(operator: &Operator) -> Files {
    let set = |line: &str| operator.ok(&format!("set {line}"));
    set("create known --type address");
    set("add known 203.0.113.7");
    operator.ok("timeouts set tcp-established=3600");
    operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "81"))));
    operator.ok(&format!("create {}", operator.file("mail.xml", no_ports("mail", "25"))));
    // It tells that no daemon runs.
    let bind = |profile: &str| {
        assert_eq!(operator.run(&format!("bind all --pattern vnet* --profile {profile}")).code, 0);
    };
    bind("mail");
    operator.ok(&format!("attach {PORT} --profile own-mac-only"));
    let before = files(&operator.root());
    set("add known 203.0.113.8");
    operator.ok("timeouts set tcp-established=7200");
    bind("web");
    operator.ok(&format!("update {}", operator.file("web.xml", no_ports("web", "80"))));
    operator.ok(&format!("attach {PORT} --profile web --profile own-mac-only"));
    before
}

#[test]
fn whatever_a_disk_has_of_a_file_the_rest_goes_on() {
    with_operator(FILTER_CTL, "power", |operator| {
        let scene = Scene::new();
        let _other = net::tap("vm1");
        let before = prepare(operator);
        let mut good = files(&operator.root());
        let paths: Vec<PathBuf> = good.keys().filter(|path| !path.ends_with("run/lock")).cloned().collect();
        let (mut looked_at, mut wrong) = (0, Vec::new());
        for path in &paths {
            for (harm, left) in harms(before.get(path), &good[path]) {
                let what = format!("{} {harm}", path.strip_prefix(operator.root()).unwrap().display());
                match &left {
                    Some(left) => fs::write(path, left).unwrap(),
                    None => fs::remove_file(path).unwrap(),
                }
                let mut told = String::new();
                for line in ["list", "ports", "bindings", "set list", "log", "doctor"] {
                    let done = operator.run(line);
                    assert!(
                        done.code == 0 || (line == "doctor" && done.code == 7),
                        "{what}: {line}: {done:?}"
                    );
                    told += &(done.stdout + &done.stderr);
                }
                told += &operator.run("timeouts").stderr;
                // Whatever it is, other ports are attached, other profiles are made and changed, and so are other sets.
                for line in [
                    "attach vm1 --profile no-vlan".to_owned(),
                    "create-from no-vlan other".to_owned(),
                    format!("update {}", operator.file("other.xml", no_ports("other", "99"))),
                    "set create other --type address".to_owned(),
                    "set add other 192.0.2.99".to_owned(),
                    "bind other --port vm7 --profile other".to_owned(),
                    "detach vm1".to_owned(),
                ] {
                    let done = operator.run(&line);
                    if done.code != 0 {
                        wrong.push(format!("{what}: {line}: {done:?}"));
                    }
                    told += &done.stderr;
                }
                // The last line of a journal that is cut was being written, as far as anybody can know.
                let is_journal = path.parent().unwrap().ends_with("journal");
                let is_unsaid =
                    matches!(harm, "is gone" | "is from before") || is_journal && harm == "is cut in half";
                let name = path.file_name().unwrap().to_str().unwrap();
                // Texts of profiles that are not needed now are read when somebody goes back.
                let is_read = !path.parent().unwrap().ends_with("objects");
                if !is_unsaid && is_read && !told.contains(name) {
                    wrong.push(format!("{what}: nobody says so"));
                }
                scene.guest.send(&connect(80));
                scene.comes_out("a datagram", &datagram(1));
                assert!(!scene.is_out(&connect(80)), "{what}: its port keeps its policy");
                assert_eq!(operator.port(PORT)["status"], "active", "{what}");
                looked_at += 1;

                operator.run("set destroy other");
                restore(&operator.root(), &good);
                // What is in force has become another's, in the numbers of its places.
                operator.ok(&format!("attach {PORT} --profile web --profile own-mac-only"));
                good = files(&operator.root());
            }
        }
        println!("{looked_at} harms to {} files", paths.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(looked_at > 30, "{looked_at}");
        assert_eq!(operator.json("ports")[0]["binding"]["profiles"], json!(["web", "own-mac-only"]));
    });
}
