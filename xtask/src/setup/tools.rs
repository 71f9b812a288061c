//! Tools of the system that tests, demo and `lint-object` call.

use std::path::Path;
use std::process::Command;

use super::apt::{Choice, Need};
use crate::process::{answer, which, works};
use crate::toolchain::{LLVM, objdump};

/// Those that are not there.
pub fn missing() -> Vec<Need> {
    let mut needs = Vec::new();
    // On Ubuntu a wrapper of this name is there without the tool: so it is called, not looked for.
    if !which("bpftool").is_some_and(|tool| works(Command::new(tool).arg("version"))) {
        let of_kernel = answer(Command::new("uname").arg("-r")).unwrap_or_default();
        let of_kernel = format!("linux-tools-{}", of_kernel.trim());
        needs.push(Need {
            what: "bpftool".to_owned(),
            why: "tests read maps and programs with it",
            choices: vec![
                Choice::any(&["bpftool"]),
                Choice::any(&["linux-tools-common", &of_kernel]),
                Choice::any(&["linux-tools-common", "linux-tools-generic"]),
            ],
        });
    }
    if which("ip").is_none() {
        needs.push(one("iproute2", "tests and demo make taps and network namespaces with ip"));
    }
    if which("xmllint").is_none() {
        needs.push(one("libxml2-utils", "tests check profiles against the schema with xmllint"));
    }
    for (program, package) in [("nft", "nftables"), ("ebtables-restore", "ebtables")] {
        if which(program).is_none() {
            needs.push(one(package, "tests and benchmarks hold generated rules against it"));
        }
    }
    for (program, package) in [("dnsmasq", "dnsmasq-base"), ("dhclient", "isc-dhcp-client")] {
        if which(program).is_none() {
            needs.push(one(package, "tests learn addresses from a real DHCP server and client"));
        }
    }
    if which("strace").is_none() {
        needs.push(one("strace", "tests kill commands at chosen system calls"));
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        needs.push(one("systemd", "tests run the units under a systemd of their own"));
    }
    // systemd reloads the service with it.
    if which("kill").is_none() {
        needs.push(one("procps", "tests run the units under a systemd of their own"));
    }
    if !Path::new("/usr/lib/usrsctp").is_dir() {
        needs.push(one("libusrsctp-examples", "tests follow associations between stacks of SCTP"));
    }
    if objdump().is_none() {
        needs.push(one(&format!("llvm-{LLVM}"), "lint-object disassembles with llvm-objdump"));
    }
    // Sources are fetched over TLS; a minimal image has no certificates.
    if !Path::new("/etc/ssl/certs").is_dir() {
        needs.push(one("ca-certificates", "cargo fetches crates over TLS"));
    }
    needs
}

fn one(package: &str, why: &'static str) -> Need {
    Need { what: package.to_owned(), why, choices: vec![Choice::any(&[package])] }
}
