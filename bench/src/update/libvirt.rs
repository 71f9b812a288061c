//! libvirt beside us: the same document, changed for the same number of ports, while a guest sends what is forbidden.
//!
//! libvirt makes rules of a changed filter anew and takes the old ones away, port by port, with programs of their
//! own; what passes in between is counted at the other end of a bridge. Ports are bindings without domains.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use filter_ctl::xml::{self, Reading};
use filter_tests::frames::{Ipv4, PEER, VM, VM_IP4, ether_type, ethernet, protocol, tcp};
use filter_tests::libvirt::Daemon;
use filter_tests::net::{self, Namespace, Wire};

use super::measurement;
use crate::host::{Host, SHARED, milliseconds};
use crate::parts::Options;
use crate::report::Report;

/// What bridges ask iptables.
const SETTING: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
/// Accepting rules of the filter.
const RULES: u16 = 23;
/// Of the filter: a filter of libvirt's keeps its own.
const UUID: &str = "7c1b4d4e-9a53-4b0e-8f57-3d1f3a5f2c10";
/// A port that no variant accepts.
const FORBIDDEN: u16 = 9;

/// A guest's end, and the other end of the bridge.
struct Ends {
    guest: Wire,
    peer: Wire,
}

/// Measures both.
pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if Daemon::program().is_none() || !Path::new(SETTING).exists() {
        report.note("update: libvirt, or br_netfilter, is not here; it was not compared with.");
        return Ok(());
    }
    report.note(format!("update: compared with {}.", Daemon::version()?));
    let (counts, rounds): (&[usize], usize) = if options.quick { (&[1], 2) } else { (&[1, 10, 30], 3) };
    for &count in counts {
        let mut samples: [[Vec<f64>; 2]; 2] = Default::default();
        let namespaces = [Namespace::new()?, Namespace::new()?];
        let daemon = namespaces[1].run(|| prepare_libvirt(&namespaces[1], count))?;
        let (host, ends) = namespaces[0].run(|| prepare_ours(count))?;
        for round in 1..=rounds {
            let document = document(round);
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let (took, leaked) = if which == 0 {
                    namespaces[0].run(|| meanwhile(&ends, || host.put(&parsed(&document)?)))?
                } else {
                    let (daemon, ends) = &daemon;
                    namespaces[1].run(|| meanwhile(ends, || define(daemon, &document)))?
                };
                samples[which][0].push(took);
                samples[which][1].push(leaked);
            }
        }
        let x = ("ports", count);
        for (series, [took, leaked]) in ["filter-ctl", "libvirt"].into_iter().zip(samples) {
            report.add(measurement("libvirt-update", series, x, "ms", took));
            report.add(measurement("libvirt-leaked", series, x, "frames", leaked));
        }
    }
    Ok(())
}

/// The filter: some ports are accepted, others each time, and nothing else. No rule follows connections: that is the
/// same to both.
fn document(round: usize) -> String {
    let first = 1000 * (1 + round as u16 % 2);
    let accept = |number: u16| {
        format!(
            "<rule action='accept' direction='out' statematch='false'><tcp dstportstart='{}'/></rule>",
            first + number
        )
    };
    format!(
        "<filter name='{SHARED}' chain='root'><uuid>{UUID}</uuid>{}<rule action='drop' direction='inout' priority='900' statematch='false'><all/></rule></filter>",
        (0..RULES).map(accept).collect::<String>()
    )
}

fn parsed(document: &str) -> Result<filter_ctl::model::Profile> {
    Ok(xml::parse(document, None, Reading::Strict)?.profile)
}

/// The first port's tap on a bridge with another.
fn ends(host: &Host) -> Result<Ends> {
    let first = host.ports.first().context("there are ports")?;
    let ends = Ends { guest: Wire::tap(first, false)?, peer: net::tap("peer0") };
    net::bridge("br0", &[first, "peer0"]);
    Ok(ends)
}

fn prepare_ours(count: usize) -> Result<(Host, Ends)> {
    let host = Host::new("libvirt", count)?;
    let ends = ends(&host)?;
    host.put(&parsed(&document(0))?)?;
    host.engine()?.attach_all(host.bindings(count), &mut |_, _| {})?;
    verify(&ends)?;
    Ok((host, ends))
}

fn prepare_libvirt(namespace: &Namespace, count: usize) -> Result<(Daemon, Ends)> {
    let host = Host::new("libvirt-taps", count)?;
    let ends = ends(&host)?;
    fs::write(SETTING, "1")?;
    let daemon = Daemon::start(namespace)?;
    define(&daemon, &document(0))?;
    let mut commands = Vec::new();
    for (number, (name, binding)) in host.bindings(count).into_iter().enumerate() {
        let mac = binding.mac.unwrap_or_default();
        let file = daemon.folder().join(format!("{name}.xml"));
        let owner = format!(
            "<owner><name>vm{number}</name><uuid>{number:08x}-0000-4000-8000-000000000000</uuid></owner>"
        );
        fs::write(
            &file,
            format!(
                "<filterbinding>{owner}<portdev name='{name}'/><mac address='{mac}'/><filterref filter='{SHARED}'/></filterbinding>"
            ),
        )?;
        commands.push(format!("nwfilter-binding-create {}", file.display()));
    }
    virsh(&daemon, &commands)?;
    verify(&ends)?;
    Ok((daemon, ends))
}

fn virsh(daemon: &Daemon, commands: &[String]) -> Result<()> {
    match daemon.virsh(commands)? {
        Ok(_) => Ok(()),
        Err(complaints) => bail!("virsh: {complaints}"),
    }
}

fn define(daemon: &Daemon, document: &str) -> Result<f64> {
    let file = daemon.folder().join("filter.xml");
    fs::write(&file, document)?;
    let begun = Instant::now();
    virsh(daemon, &[format!("nwfilter-define {}", file.display())])?;
    Ok(milliseconds(begun))
}

fn segment(port: u16) -> Vec<u8> {
    let ip = Ipv4 { source: VM_IP4, protocol: protocol::TCP, ..Ipv4::default() };
    ethernet(PEER, VM, ether_type::IPV4, &ip.packet(tcp(40_000, port, 2, b"")))
}

/// What is accepted passes, and what is forbidden does not.
fn verify(ends: &Ends) -> Result<()> {
    for (port, passes) in [(1000, true), (2000, false), (FORBIDDEN, false)] {
        let frame = segment(port);
        ends.peer.drain();
        ends.guest.send(&frame);
        if ends.peer.drain().contains(&frame) != passes {
            bail!("a segment to port {port}: expected that it passes: {passes}");
        }
    }
    Ok(())
}

/// Does `work` while the guest sends what is forbidden. What it gave, and how many frames passed.
#[allow(clippy::cast_precision_loss, reason = "a few thousand frames")]
fn meanwhile(ends: &Ends, work: impl FnOnce() -> Result<f64>) -> Result<(f64, f64)> {
    /// Between two frames.
    const PAUSE: Duration = Duration::from_micros(50);
    let over = AtomicBool::new(false);
    let frame = segment(FORBIDDEN);
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| {
            let mut leaked = 0_u64;
            while !over.load(Ordering::Relaxed) {
                ends.guest.send(&frame);
                // It is there at once, or not at all.
                leaked += ends.peer.drain().iter().filter(|seen| **seen == frame).count() as u64;
                std::thread::sleep(PAUSE);
            }
            leaked
        });
        let took = work();
        over.store(true, Ordering::Relaxed);
        let leaked = guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((took?, leaked as f64))
    })
}
