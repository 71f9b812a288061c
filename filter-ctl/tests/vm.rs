//! A virtual machine under a real libvirt, filtered by the hook and the daemon through its whole life.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use filter_common::{ABI_VERSION, Direction};
use filter_tests::cli::{self, Counts, Operator};
use filter_tests::net::{self, Namespace, Wire, ip, until};
use filter_tests::not_run::not_run;
use filter_tests::vm::{Boot, Daemon, Guest, build, kernel};
use serde_json::{Value, json};

const FILTER_CTL: &str = env!("CARGO_BIN_EXE_filter-ctl");
const UUID: &str = "9b5d4f6e-0f1c-4c3b-8f0a-2f5d1f3c7a10";
const OTHER: &str = "9b5d4f6e-0f1c-4c3b-8f0a-2f5d1f3c7a11";
/// The machine's addresses, those of an interface that is plugged in later, and those that it steals.
const MAC: &str = "52:54:00:12:34:56";
const LATER: &str = "52:54:00:12:34:60";
const STOLEN_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x99];
const STOLEN_IP: [u8; 4] = [192, 0, 2, 66];
/// Counters that spoofs count at.
const BY_MAC: &str = "rule own-mac-only/foreign-mac";
const BY_IP: &str = "rule own-ip-only/foreign-ip4";

/// What holds machines to their addresses, and perhaps takes pings from them.
fn profile(pings: bool) -> String {
    let entry = if pings {
        ""
    } else {
        "<FilterEntry name='no-ping'><Action>DROP</Action><IPHeadersFilter><HdrProtocolID>icmp</HdrProtocolID>\
         </IPHeadersFilter></FilterEntry>"
    };
    format!(
        "<FilterPool name='tenant' default='ACCEPT'><Reference profile='generic-layer2'/>{entry}</FilterPool>"
    )
}

fn interface(mac: &str) -> String {
    format!(
        "<interface type='bridge'><mac address='{mac}'/><source bridge='br0'/><model type='virtio'/>\
         <rom enabled='no'/></interface>"
    )
}

fn domain(name: &str, uuid: &str, boot: &Boot, line: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>96</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>\
         <cmdline>console=ttyS0 quiet panic=-1</cmdline></os><features><acpi/></features>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{}\
         <serial type='unix'><source mode='bind' path='{line}'/></serial><memballoon model='none'/></devices>\
         <seclabel type='none' model='dac'/></domain>",
        boot.kernel.display(),
        boot.initramfs.display(),
        interface(MAC)
    )
}

/// The host with its libvirt, and a neighbour of the machine.
struct Site<'a> {
    operator: &'a Operator,
    /// filter-ctl's daemon, as long as it runs.
    watcher: Option<cli::Daemon>,
    daemon: Daemon,
    neighbour: &'a Namespace,
    boot: Boot,
    /// All that reaches the neighbour.
    capture: Wire,
    begun: Instant,
}

impl Site<'_> {
    fn step(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f32());
    }

    fn virsh(&self, line: &str) -> String {
        self.daemon.virsh(line).unwrap_or_else(|error| panic!("virsh {line}: {error}\n{}", self.daemon.log()))
    }

    /// The taps of the machine, in the order of its interfaces.
    fn taps(&self) -> Vec<String> {
        let list = self.virsh("domiflist web");
        list.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    }

    /// Whether just these ports are there, all in force, and of the machine.
    fn check_ports(&self, taps: &[String]) {
        let ports = self.operator.json("ports");
        let of = |port: &Value| port["port"].as_str().unwrap_or_default().to_owned();
        let mut known: Vec<String> = ports.as_array().unwrap().iter().map(of).collect();
        known.sort();
        assert_eq!(known, taps, "{ports}");
        for port in ports.as_array().unwrap() {
            assert_eq!(port["status"], "active", "{port}");
            assert_eq!(port["binding"]["profiles"], json!(["tenant"]), "{port}");
        }
    }

    fn check_owner(&self, tap: &str) {
        assert_eq!(self.operator.port(tap)["binding"]["owner"], json!({ "name": "web", "uuid": UUID }));
    }

    /// Nothing that was stolen has reached the neighbour.
    fn check_capture(&self) {
        for frame in self.capture.drain() {
            let at = |offset: usize, bytes: &[u8]| frame.get(offset..offset + bytes.len()) == Some(bytes);
            let stolen = at(6, &STOLEN_MAC)
                || at(12, &[8, 0]) && at(26, &STOLEN_IP)
                || at(12, &[8, 6]) && (at(22, &STOLEN_MAC) || at(28, &STOLEN_IP));
            assert!(!stolen, "this came out: {frame:02x?}");
        }
    }

    /// Whether the machine answers the neighbour.
    fn answers(&self, address: &str) -> bool {
        let ping = ["ping", "-c", "1", "-W", "3", address];
        self.neighbour.run(|| Command::new(&self.boot.busybox).args(ping).output().unwrap().status.success())
    }

    /// What is honest passes both ways, what is stolen does not, and is counted where it ought to be.
    fn check_traffic(&self, guest: &mut Guest, (device, tap, address): (&str, &str, &str)) {
        let before = self.operator.counts(tap);
        let ping = format!("ping -c 1 -W 3 -I {device} 192.0.2.20");
        guest.ok(&[&ping]);
        assert!(self.answers(address), "the neighbour's ping is answered");
        let honest = self.operator.counts(tap).since(&before);
        assert!(!honest.contains_key(BY_MAC) && !honest.contains_key(BY_IP), "{honest:?}");

        guest.ok(&[&format!("ip address add 192.0.2.66/24 dev {device}")]);
        assert!(!guest.run("ping -c 2 -W 1 -I 192.0.2.66 192.0.2.20").0, "with a stolen IP address");
        guest.ok(&[&format!("ip address del 192.0.2.66/24 dev {device}")]);
        let address = guest.run(&format!("cat /sys/class/net/{device}/address")).1;
        let become_another = |mac: &str| {
            [
                format!("ip link set {device} down"),
                format!("ip link set {device} address {mac}"),
                format!("ip link set {device} up"),
            ]
        };
        let [down, change, up] = become_another("52:54:00:12:34:99");
        guest.ok(&[&down, &change, &up]);
        assert!(!guest.run(&ping.replace("-W 3", "-W 1")).0, "with a stolen MAC address");
        let [down, change, up] = become_another(address.trim());
        guest.ok(&[&down, &change, &up, &ping]);
        let stolen = self.operator.counts(tap).since(&before);
        assert!(stolen.contains_key(BY_MAC) && stolen.contains_key(BY_IP), "{stolen:?}");
        self.check_capture();
    }
}

/// Whether no counter is less than it was.
fn has_not_gone_back(before: &Counts, now: &Counts) -> bool {
    before.0.iter().all(|(name, count)| now.of(name) >= *count)
}

#[test]
fn a_machine_is_filtered_through_its_life() {
    let kernel = match kernel() {
        Ok(kernel) => kernel,
        Err(obstacle) => return not_run("vm", &obstacle),
    };
    let operator = Operator::new(FILTER_CTL, "vm");
    let host = Namespace::new().unwrap();
    let neighbour = Namespace::new().unwrap();
    host.run(|| life(&operator, (&host, &neighbour), &kernel));
}

fn life(operator: &Operator, namespaces: (&Namespace, &Namespace), kernel: &Path) {
    let mut site = Site::new(operator, namespaces, kernel);
    operator.ok(&format!("create {}", operator.file("tenant.xml", profile(true))));
    operator.ok(&format!("libvirt install-hook --folder {}", site.daemon.hooks().display()));
    site.daemon.start(namespaces.0).unwrap();
    site.step("libvirt runs");
    let mut guest = site.started();
    site.changes_while_it_runs(&mut guest);
    site.plugged_in(&mut guest);
    drop(guest);
    let (mut guest, taps) = site.saved_and_restored();
    site.found_again_by_libvirt(&mut guest, &taps, namespaces.0);
    site.refused_without_its_profile(&taps);
    site.virsh("destroy web");
    site.check_ports(&[]);
    site.check_capture();
    site.step("it has ended");
}

impl<'a> Site<'a> {
    fn new(operator: &'a Operator, (_, neighbour): (&Namespace, &'a Namespace), kernel: &Path) -> Self {
        let begun = Instant::now();
        net::bridge("br0", &[]);
        ip("link add name peer0 type veth peer name eth0");
        ip("link set dev peer0 master br0 up");
        ip(&format!("link set dev eth0 netns {}", neighbour.path()));
        let capture = neighbour.run(|| {
            ip("link set dev eth0 up");
            ip("address add 192.0.2.20/24 dev eth0");
            Wire::socket(net::ifindex("eth0")).unwrap()
        });
        let daemon = Daemon::new().unwrap();
        let boot = build(kernel, daemon.folder()).unwrap();
        let watcher = Some(operator.daemon(&[]));
        Self { operator, watcher, daemon, neighbour, boot, capture, begun }
    }

    /// The machine's serial line.
    fn line(&self) -> PathBuf {
        self.daemon.folder().join("line")
    }

    /// It is defined, its metadata are written, and it starts.
    fn started(&self) -> Guest {
        let document = domain("web", UUID, &self.boot, &self.line().display().to_string());
        self.daemon.virsh_with("define", &document).unwrap();
        let firewall = format!(
            "<firewall><interface mac='{MAC}'><reference profile='tenant' ip_address='192.0.2.10'/></interface>\
             <interface mac='{LATER}' hotplug='yes'><reference profile='tenant' ip_address='192.0.2.11'/>\
             </interface></firewall>"
        );
        let of = ["metadata", "web", "--config", "--uri", "urn:filter-ctl:profile:1", "--key", "f", "--set"];
        self.daemon.virsh_words(&[&of[..], &[&firewall]].concat()).unwrap();
        self.virsh("start web");
        let taps = self.taps();
        self.check_ports(&taps);
        self.check_owner(&taps[0]);
        let mut guest = Guest::booting(&self.line()).unwrap();
        self.step("the machine runs, and is filtered");
        guest.ok(&["ip address add 192.0.2.10/24 dev eth0", "ip link set eth0 up"]);
        self.check_traffic(&mut guest, ("eth0", &taps[0], "192.0.2.10"));
        self.step("what is honest passes, what is stolen does not");
        guest
    }

    fn changes_while_it_runs(&self, guest: &mut Guest) {
        let taps = self.taps();
        let update = |pings: bool| {
            self.operator.ok(&format!("update {}", self.operator.file("tenant.xml", profile(pings))));
        };
        update(false);
        assert!(!guest.run("ping -c 1 -W 1 192.0.2.20").0 && !self.answers("192.0.2.10"));
        assert!(self.operator.counts(&taps[0]).of("rule tenant/no-ping") >= 2);
        update(true);
        self.check_traffic(guest, ("eth0", &taps[0], "192.0.2.10"));
        self.check_ports(&taps);
        self.step("its profile changed while it ran");
    }

    /// An interface comes with its link down, and is filtered before that is up.
    fn plugged_in(&self, guest: &mut Guest) {
        let down = interface(LATER).replace("<rom", "<link state='down'/><rom");
        self.daemon.virsh_with("attach-device web --live", &down).unwrap();
        let taps = self.taps();
        until("the guest sees it", || guest.run("ls /sys/class/net/eth1").0);
        guest.ok(&["ip link set eth0 down", "ip address add 192.0.2.11/24 dev eth1", "ip link set eth1 up"]);
        assert!(!guest.run("ping -c 1 -W 1 -I eth1 192.0.2.20").0, "its link is down");
        // No hook was called for it: the daemon has seen it.
        until("the daemon filters it", || self.is_active(&taps[1]));
        self.check_ports(&taps);
        self.virsh(&format!("domif-setlink web {} up", taps[1]));
        until("the link is up", || guest.run("grep 1 /sys/class/net/eth1/carrier").0);
        self.check_traffic(guest, ("eth1", &taps[1], "192.0.2.11"));
        guest.ok(&["ip link set eth1 down", "ip link set eth0 up"]);
        self.step("an interface was plugged in");
    }

    /// It comes back with other taps, all of which the hook has bound.
    fn saved_and_restored(&self) -> (Guest, Vec<String>) {
        let before = self.taps();
        self.virsh("managedsave web");
        self.check_ports(&[]);
        self.virsh("start web");
        let taps = self.taps();
        assert!(taps.len() == 2 && taps.iter().all(|tap| !before.contains(tap)), "{taps:?} are new");
        self.check_ports(&taps);
        for tap in &taps {
            self.check_owner(tap);
        }
        let mut guest = Guest::running(&self.line()).unwrap();
        self.check_traffic(&mut guest, ("eth0", &taps[0], "192.0.2.10"));
        self.step("it was saved and restored");
        (guest, taps)
    }

    /// Both daemons die, a port is lost meanwhile, and libvirt's comes again.
    fn found_again_by_libvirt(&mut self, guest: &mut Guest, taps: &[String], host: &Namespace) {
        let before = self.operator.counts(&taps[0]);
        self.daemon.kill();
        drop(self.watcher.take());
        for direction in Direction::ALL {
            let link = format!("v{ABI_VERSION}/links/{}_{direction}", net::ifindex(&taps[1]));
            std::fs::remove_file(self.operator.pins().join(link)).unwrap();
        }
        until("it is not filtered", || !self.is_active(&taps[1]));
        guest.ok(&["ping -c 1 -W 3 192.0.2.20"]);
        self.daemon.start(host).unwrap();
        until("libvirt has found it again", || self.virsh("list --name").contains("web"));
        assert_eq!(self.virsh("domstate web"), "running");
        until("what was missing is back", || taps.iter().all(|tap| self.is_active(tap)));
        self.check_ports(taps);
        assert!(has_not_gone_back(&before, &self.operator.counts(&taps[0])));
        self.check_traffic(guest, ("eth0", &taps[0], "192.0.2.10"));
        self.step("libvirt was restarted");
    }

    fn is_active(&self, tap: &str) -> bool {
        let ports = self.operator.json("ports");
        ports.as_array().into_iter().flatten().any(|port| port["port"] == tap && port["status"] == "active")
    }

    fn refused_without_its_profile(&self, taps: &[String]) {
        let metadata = "<metadata><f:firewall xmlns:f='urn:filter-ctl:profile:1'><f:reference profile='nobody'/>\
                        </f:firewall></metadata><memory";
        let line = self.daemon.folder().join("other");
        let document = domain("other", OTHER, &self.boot, &line.display().to_string());
        let document = document.replacen("<memory", metadata, 1).replace(MAC, "52:54:00:12:34:70");
        self.daemon.virsh_with("define", &document).unwrap();
        let refused = self.daemon.virsh("start other").unwrap_err();
        assert!(refused.contains("there is no profile `nobody`"), "{refused}");
        assert_eq!(self.virsh("domstate other"), "shut off");
        self.check_ports(taps);
        self.step("a machine without its profile was refused");
    }
}
