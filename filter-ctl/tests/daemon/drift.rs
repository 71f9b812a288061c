//! What others change while the daemon runs: all of it is put right, also what comes while it is at it, and what it could not
//! put right at once.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use filter_common::{ABI_VERSION, Direction};
use filter_tests::cli::{Operator, with_operator};
use filter_tests::foreign::detach_link;
use filter_tests::net;
use filter_tests::scene::{PORT, Scene};

use super::FILTER_CTL;

fn detach(operator: &Operator, port: &str) {
    let links = operator.pins().join(format!("v{ABI_VERSION}/links"));
    let link = links.join(format!("{}_{}", net::ifindex(port), Direction::Out));
    detach_link(&link).expect("it is a link");
}

fn are_active(operator: &Operator, count: usize) -> bool {
    let ports = operator.json("ports");
    ports.as_array().into_iter().flatten().filter(|port| port["status"] == "active").count() == count
}

/// Long before everything is compared again, once a minute.
fn soon(what: &str, answer: impl Fn() -> bool) {
    let begun = Instant::now();
    while !answer() {
        assert!(begun.elapsed() < Duration::from_secs(30), "in vain: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_is_taken_away_while_other_things_are_put_right_is_put_right_too() {
    const MANY: usize = 40;
    with_operator(FILTER_CTL, "drift_meanwhile", |operator| {
        let names: Vec<String> = (0..MANY).map(|number| format!("vnet{number}")).collect();
        let _taps: Vec<_> = names.iter().map(|name| net::tap(name)).collect();
        let daemon = operator.daemon(&[]);
        operator.ok(&format!("attach {} --profile own-mac-only", names.join(" ")));
        // The first look at everything is over.
        thread::sleep(Duration::from_secs(1));
        for name in &names {
            detach(operator, name);
            thread::sleep(Duration::from_millis(40));
        }
        soon("all are filtered again", || are_active(operator, MANY));
        for name in &names {
            daemon.says(&["not as it should be", &format!("port={name} "), "link-detached"]);
        }
    });
}

#[test]
fn what_could_not_be_put_right_is_tried_again_and_told_once() {
    with_operator(FILTER_CTL, "drift_again", |operator| {
        let _scene = Scene::new();
        let daemon = operator.daemon(&[]);
        operator.ok(&format!("attach {PORT} --profile own-mac-only"));
        thread::sleep(Duration::from_secs(1));
        // Nobody knows what the port is held to.
        let file = operator.root().join(format!("run/ports/{}.json", net::ifindex(PORT)));
        let good = fs::read(&file).expect("it is there");
        let journal = operator.root().join("state/journal");
        let away = operator.files().join("journal");
        fs::rename(&journal, &away).expect("it is there");
        fs::write(&file, "{").expect("there is room");
        detach(operator, PORT);
        daemon.says(&["could not be put right; it is tried again", PORT]);
        thread::sleep(Duration::from_secs(7));
        let told = daemon.log().lines().filter(|line| line.contains("could not be put right")).count();
        assert_eq!(told, 1, "{}", daemon.log());
        let _ = fs::remove_dir_all(&journal);
        fs::rename(&away, &journal).expect("it is there");
        fs::write(&file, good).expect("there is room");
        soon("it is filtered again", || are_active(operator, 1));
        daemon.says(&["put right", PORT]);
    });
}
