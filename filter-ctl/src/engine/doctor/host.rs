//! The host: its kernel, what it lets us do, what else it does with frames; and the data path as a whole.

use std::fs;
use std::path::Path;

use super::{Finding, Severity};
use crate::datapath::{Datapath, DatapathError, in_bpffs, may_change};
use crate::engine::{self, sets};
use crate::store::Folders;

const HOST: &str = "host";
const DATA_PATH: &str = "data path";
const STANDARD_MOUNT: &str = "/sys/fs/bpf";

/// Findings about the host.
pub(super) fn host(folders: &Folders) -> Vec<Finding> {
    let mut findings = vec![kernel(), capabilities(), bpf_file_system(&folders.bpffs)];
    findings.extend(jit());
    findings.extend(unprivileged());
    findings.extend(bridge_netfilter());
    findings
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `6.6` of `6.6.12-1-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if version(&release).is_none_or(|version| version >= (6, 6)) {
        let btf = if Path::new("/sys/kernel/btf/vmlinux").exists() { "with BTF" } else { "without BTF" };
        return Finding::new(Severity::Ok, HOST, "kernel", format!("Linux {release} has tcx links, {btf}"));
    }
    Finding::new(Severity::Problem, HOST, "kernel", format!("Linux {release} has no tcx links"))
        .means("nothing can be attached")
        .advice("boot Linux 6.6 or newer")
}

/// Only the first network namespace has the setting.
fn jit() -> Option<Finding> {
    let finding = match setting("/proc/sys/net/core/bpf_jit_enable")?.as_str() {
        "0" => Finding::new(Severity::Warning, HOST, "jit", "the kernel interprets BPF programs")
            .means("each packet costs several times as much as it had to")
            .advice("sysctl net.core.bpf_jit_enable=1"),
        _ => Finding::new(Severity::Ok, HOST, "jit", "BPF programs are compiled for the processor"),
    };
    Some(finding)
}

fn capabilities() -> Finding {
    if may_change() {
        return Finding::new(Severity::Ok, HOST, "capabilities", "whoever asks may load and attach programs");
    }
    Finding::new(Severity::Problem, HOST, "capabilities", "no CAP_SYS_ADMIN")
        .means("programs can neither be loaded nor looked at")
        .advice("run it as root")
}

fn bpf_file_system(folder: &Path) -> Finding {
    let check = "bpf-file-system";
    match in_bpffs(folder) {
        Ok(true) => {
            Finding::new(Severity::Ok, HOST, check, format!("{} is in a BPF file system", folder.display()))
        }
        Ok(false) if folder.starts_with(STANDARD_MOUNT) => {
            let found = format!("no BPF file system is mounted at {STANDARD_MOUNT}");
            Finding::new(Severity::Note, HOST, check, found)
                .means("nothing is pinned there; `ip netns exec` hides one that is there outside")
                .advice("the first `attach` mounts it")
        }
        Ok(false) => Finding::new(
            Severity::Problem,
            HOST,
            check,
            format!("{} is in no BPF file system", folder.display()),
        )
        .means("nothing can be pinned there")
        .advice("mount -t bpf bpf /sys/fs/bpf, or name a folder below one with --bpffs"),
        Err(error) => Finding::new(Severity::Problem, HOST, check, error.to_string()),
    }
}

fn unprivileged() -> Option<Finding> {
    let check = "unprivileged-bpf";
    match setting("/proc/sys/kernel/unprivileged_bpf_disabled")?.as_str() {
        "0" => Some(
            Finding::new(Severity::Warning, HOST, check, "everybody on this host may load BPF programs")
                .means("it widens what a local user can attack the kernel with; filter-ctl does not need it")
                .advice("sysctl kernel.unprivileged_bpf_disabled=1"),
        ),
        _ => Some(Finding::new(Severity::Ok, HOST, check, "only who is privileged may load BPF programs")),
    }
}

fn bridge_netfilter() -> Option<Finding> {
    let name = |family: &str| format!("bridge-nf-call-{family}");
    let families = ["iptables", "ip6tables", "arptables"];
    let settings = families.map(|family| setting(&format!("/proc/sys/net/bridge/{}", name(family))));
    if settings.iter().all(Option::is_none) {
        return None;
    }
    let on: Vec<String> = families
        .iter()
        .zip(&settings)
        .filter(|(_, setting)| setting.as_deref().is_some_and(|it| it != "0"))
        .map(|(family, _)| name(family))
        .collect();
    let check = "bridge-netfilter";
    if on.is_empty() {
        return Some(Finding::new(
            Severity::Ok,
            HOST,
            check,
            "the host's firewall does not see bridged frames",
        ));
    }
    Some(
        Finding::new(Severity::Note, HOST, check, format!("{} is on", on.join(", ")))
            .means(
                "the host's iptables rules judge bridged frames, too, behind us: a packet that passes here may be \
                 dropped there, and IPv4 with a wrong header checksum is, without a trace; each packet costs more",
            )
            .advice(format!("if nothing on this host needs it: sysctl net.bridge.{}=0", on.join("=0 net.bridge."))),
    )
}

/// Findings about what is loaded; says whether something is.
pub(super) fn data_path(folders: &Folders, findings: &mut Vec<Finding>) -> bool {
    let problem = |check: &str, found: String| Finding::new(Severity::Problem, DATA_PATH, check, found);
    match sets(folders) {
        Ok((_, broken)) => findings.extend(broken.iter().map(|error| {
            problem("sets", error.to_string())
                .means("ports that ask for that set keep what is in force, and cannot be attached anew")
                .advice("mend the file, as is said there")
        })),
        Err(error) => findings.push(problem("sets", error.to_string())),
    }
    let builds = match engine::builds(folders) {
        Ok(None) => {
            findings.push(
                Finding::new(Severity::Ok, DATA_PATH, "loaded", "nothing is loaded: no port is filtered")
                    .advice("`filter-ctl attach PORT --profile NAME` filters one"),
            );
            return false;
        }
        Ok(Some(builds)) => builds,
        Err(engine::EngineError::Datapath(error @ DatapathError::OtherLayout { .. })) => {
            findings.push(
                problem("layout", error.to_string()).means("its ports are filtered, and out of our reach"),
            );
            return false;
        }
        Err(error) => {
            findings.push(problem("loaded", error.to_string()));
            return false;
        }
    };
    let pinned =
        builds.pinned.as_ref().map_or_else(|| "a build without a name".to_owned(), ToString::to_string);
    findings.push(if builds.agree() {
        Finding::new(
            Severity::Ok,
            DATA_PATH,
            "build",
            format!("the programs are of this build, {}", builds.own),
        )
    } else {
        Finding::new(
            Severity::Warning,
            DATA_PATH,
            "build",
            format!("the programs are of {pinned}, this is {}", builds.own),
        )
        .means("they work; what is better in this build is not in force")
        .advice("`filter-ctl upgrade`")
    });
    if builds.unfinished {
        findings.push(
            Finding::new(Severity::Warning, DATA_PATH, "upgrade", "an upgrade is under way, or died")
                .means("ports may run programs of two builds")
                .advice("`filter-ctl upgrade` finishes it, and so does any command that changes something"),
        );
    }
    match Datapath::look_at(&folders.bpffs) {
        Ok(Some(datapath)) => findings.push(pressure(&datapath)),
        Ok(None) => return false,
        Err(error) => {
            findings.push(
                problem("loaded", error.to_string())
                    .means("pins were removed, or are not what they should be; what is attached still runs")
                    .advice("detach what you can, remove the folder of pins, and attach the ports again"),
            );
            return false;
        }
    }
    true
}

/// How full the maps are.
fn pressure(datapath: &Datapath) -> Finding {
    /// In hundredths.
    const HIGH: usize = 80;
    const CRITICAL: usize = 95;
    let percent = |used: usize, total: usize| used * 100 / total.max(1);
    let all = datapath.pressure();
    let text: Vec<String> = all.iter().map(|it| format!("{} of {} {}", it.used, it.total, it.what)).collect();
    let most = all.iter().map(|it| percent(it.used, it.total)).max().unwrap_or(0);
    let severity = match most {
        CRITICAL.. => Severity::Problem,
        HIGH.. => Severity::Warning,
        _ => Severity::Ok,
    };
    let finding = Finding::new(severity, DATA_PATH, "maps", format!("in use: {}", text.join(", ")));
    if severity == Severity::Ok {
        return finding;
    }
    finding
        .means("when one is full nothing can be attached or changed that needs more of it; an update of many ports needs \
                room for what was and what will be")
        .advice("detach ports that are not needed, let ports share profiles, write rules with lists")
}
