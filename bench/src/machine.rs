//! What was measured on: figures of two machines, or of one machine in two states, do not compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::report::Report;

/// Above this many runnable threads for each CPU others are at work, and figures are not to be trusted.
const BUSY: f64 = 0.5;

/// Facts about machine, kernel and program.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// When the run began, in UTC.
    pub date: String,
    /// The commit that was measured, with `+` if the tree had changes; empty outside a repository.
    pub commit: String,
    /// The processor's name.
    pub cpu: String,
    /// How many CPUs are there for us.
    pub cpus: usize,
    /// Sizes of the caches that CPU 0 sees.
    pub caches: Vec<String>,
    /// Bytes of memory.
    pub memory: u64,
    /// Who runs the machine, if it is a virtual one and says so.
    pub hypervisor: Option<String>,
    /// Kernel release and version.
    pub kernel: String,
    /// Each vulnerability that the kernel does anything about, and what.
    pub mitigations: BTreeMap<String, String>,
    /// `net.core.bpf_jit_enable`, or what keeps it from being read.
    pub bpf_jit_enable: String,
    /// `net.core.bpf_jit_harden`.
    pub bpf_jit_harden: String,
    /// How the kernel chooses the frequency of CPU 0; nothing where it has no say.
    pub governor: Option<String>,
    /// Whether the CPU may run above its nominal frequency, where the kernel knows.
    pub turbo: Option<bool>,
    /// The compiler that built this program and filter-ctl.
    pub rustc: String,
    /// Bytes of the classifiers' object, with debug information.
    pub object_bytes: usize,
    /// Runnable threads, averaged over the minute before the run.
    pub load: f64,
}

impl Facts {
    /// Looks. What cannot be found out is said as such; nothing fails.
    pub fn collect() -> Self {
        let uname = rustix::system::uname();
        Self {
            date: answer(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
            commit: commit(),
            cpu: cpu(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            caches: caches(),
            memory: memory(),
            hypervisor: hypervisor(),
            kernel: [uname.release(), uname.version(), uname.machine()]
                .map(|text| text.to_string_lossy().into_owned())
                .join(" "),
            mitigations: mitigations(),
            bpf_jit_enable: setting("/proc/sys/net/core/bpf_jit_enable"),
            bpf_jit_harden: setting("/proc/sys/net/core/bpf_jit_harden"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            turbo: turbo(),
            rustc: env!("FILTER_BENCH_RUSTC").to_owned(),
            object_bytes: filter_ctl::datapath::OBJECT.len(),
            load: load(),
        }
    }

    /// Notes what makes figures of this run less than they could be.
    #[allow(clippy::cast_precision_loss, reason = "no machine has 2^52 CPUs")]
    pub fn warn(&self, report: &mut Report) {
        if self.load > BUSY * self.cpus as f64 {
            report.note(format!(
                "The machine was busy when the run began: {:.1} runnable threads on {} CPUs. Figures are too high, \
                 and ratios less sure; measure again when nothing else runs.",
                self.load, self.cpus
            ));
        }
        if self.bpf_jit_enable == "0" {
            report.note(
                "The kernel interprets BPF programs (bpf_jit_enable is 0): figures are many times too high.",
            );
        }
        if self.bpf_jit_harden != "0" && self.bpf_jit_harden.parse::<u32>().is_ok() {
            report.note(format!(
                "Constants in BPF programs may be blinded (bpf_jit_harden is {}): it makes programs slower.",
                self.bpf_jit_harden
            ));
        }
        if let Some(hypervisor) = &self.hypervisor {
            report.note(format!(
                "The machine is a virtual one ({hypervisor}): its host's other guests are measured, too."
            ));
        }
    }

    /// A line for each fact.
    #[allow(clippy::cast_precision_loss, reason = "shown in GiB")]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let gib = self.memory as f64 / f64::from(1 << 30);
        let unknown = || "not to be seen".to_owned();
        let turbo = self.turbo.map_or_else(unknown, |on| if on { "on" } else { "off" }.to_owned());
        vec![
            ("date", self.date.clone()),
            ("commit", self.commit.clone()),
            ("CPU", format!("{}, {} CPUs, {gib:.1} GiB of memory", self.cpu, self.cpus)),
            ("caches", self.caches.join(", ")),
            ("hypervisor", self.hypervisor.clone().unwrap_or_else(|| "none that says so".to_owned())),
            ("kernel", self.kernel.clone()),
            ("mitigations", self.mitigations_in_a_line()),
            ("BPF JIT", format!("enable {}, harden {}", self.bpf_jit_enable, self.bpf_jit_harden)),
            ("governor", format!("{}, turbo {turbo}", self.governor.clone().unwrap_or_else(unknown))),
            ("built by", self.rustc.clone()),
            ("object", format!("{} bytes", self.object_bytes)),
            ("load", format!("{:.2} at the start", self.load)),
        ]
    }

    fn mitigations_in_a_line(&self) -> String {
        if self.mitigations.is_empty() {
            return "the kernel names no vulnerability".to_owned();
        }
        self.mitigations.iter().map(|(name, what)| format!("{name}: {what}")).collect::<Vec<_>>().join("; ")
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn setting(path: &str) -> String {
    read(path).unwrap_or_else(|| "unreadable".to_owned())
}

/// What a program prints; nothing where it cannot be run.
fn answer(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        // Root may look into a tree that is a user's.
        answer(Command::new("git").args(["-c", "safe.directory=*"]).args(arguments))
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    git(&["rev-parse", "--short=12", "HEAD"]) + if changed { "+" } else { "" }
}

fn cpuinfo(field: &str) -> Option<String> {
    let text = read("/proc/cpuinfo")?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn cpu() -> String {
    let name = cpuinfo("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    match (cpuinfo("cpu family"), cpuinfo("model\t")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}

fn caches() -> Vec<String> {
    let folder = Path::new("/sys/devices/system/cpu/cpu0/cache");
    let cache = |index: usize| {
        let file = |name: &str| read(folder.join(format!("index{index}")).join(name));
        let kind =
            file("type").map(|kind| if kind == "Unified" { String::new() } else { format!(" {kind}") });
        Some(format!("L{}{} {}", file("level")?, kind.unwrap_or_default(), file("size")?))
    };
    (0..).map_while(cache).collect()
}

fn memory() -> u64 {
    let total = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    total.unwrap_or(0) * 1024
}

fn hypervisor() -> Option<String> {
    if !cpuinfo("flags")?.split(' ').any(|flag| flag == "hypervisor") {
        return None;
    }
    let named = answer(Command::new("systemd-detect-virt").arg("--vm"));
    let named =
        if named.is_empty() { read("/sys/class/dmi/id/sys_vendor").unwrap_or_default() } else { named };
    Some(if named.is_empty() { "unnamed".to_owned() } else { named })
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(files) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return BTreeMap::new() };
    files
        .filter_map(|file| {
            let file = file.ok()?;
            Some((file.file_name().to_string_lossy().into_owned(), read(file.path())?))
        })
        .filter(|(_, what)| what != "Not affected")
        .collect()
}

fn turbo() -> Option<bool> {
    if let Some(off) = read("/sys/devices/system/cpu/intel_pstate/no_turbo") {
        return Some(off == "0");
    }
    read("/sys/devices/system/cpu/cpufreq/boost").map(|on| on == "1")
}

fn load() -> f64 {
    let first = read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok());
    first.unwrap_or(0.0)
}
