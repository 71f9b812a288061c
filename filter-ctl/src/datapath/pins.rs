//! The folder in the BPF file system where programs, maps and links are pinned.
//!
//! `<folder>/v<ABI>/{programs,maps,links}`, and a folder that names the network namespace they are of. The set of
//! programs and maps appears at once: it is pinned in a folder of another name, which is then renamed. A folder of
//! another layout version is never touched; where there is one and none of ours, nothing is done but to say so.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::ProgramInfo;
use filter_common::{ABI_VERSION, Direction};
use rustix::fs::{FlockOperation, statfs};
use rustix::io::Errno;

use super::error::{DatapathError, OtherLayout};
use super::identity::Identity;

const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Where every distribution mounts it.
const STANDARD_MOUNT: &str = "/sys/fs/bpf";

/// Paths below the pins' folder.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// Paths below `folder`. Touches nothing.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn version(&self) -> PathBuf {
        self.folder.join(format!("v{ABI_VERSION}"))
    }

    /// Whether the classifiers are there. An error where they are those of another network namespace: an
    /// interface's index means nothing there.
    pub(super) fn exist(&self) -> Result<bool, DatapathError> {
        if !self.version().exists() {
            self.refuse_others()?;
            return Ok(false);
        }
        if self.owner(namespace()?).exists() {
            return Ok(true);
        }
        Err(DatapathError::Foreign(self.folder.clone()))
    }

    /// A folder whose name says which network namespace the pins belong to.
    fn owner(&self, namespace: u64) -> PathBuf {
        self.version().join(format!("namespace_{namespace}"))
    }

    /// Keeps other writers out as long as the file is open.
    pub(super) fn lock(&self) -> Result<File, DatapathError> {
        let fail = |error: io::Error| DatapathError::io(&self.folder, error);
        let folder = File::open(&self.folder).map_err(fail)?;
        rustix::fs::flock(&folder, FlockOperation::LockExclusive).map_err(|error| fail(error.into()))?;
        Ok(folder)
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.version().join("maps").join(name)
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.version().join("programs")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Where programs are pinned that are to take the place of others, and then those others.
    pub(super) fn incoming(&self) -> PathBuf {
        self.version().join("incoming")
    }

    /// The numbers of a direction's pinned programs; there are two while one takes the other's place.
    pub(super) fn program_ids(&self, direction: Direction) -> impl Iterator<Item = u32> {
        let name = filter_common::maps::program(direction);
        let paths = [self.program(name), self.incoming().join(name)];
        paths.into_iter().filter_map(|path| Some(ProgramInfo::from_pin(path).ok()?.id()))
    }

    /// Folders of other layout versions.
    pub(super) fn others(&self) -> Vec<OtherLayout> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return vec![] };
        let version = |name: &str| name.strip_prefix('v').and_then(|version| version.parse::<u32>().ok());
        let mut others: Vec<OtherLayout> = entries
            .flatten()
            .filter_map(|entry| version(entry.file_name().to_str()?))
            .filter(|&version| version != ABI_VERSION)
            .map(|version| OtherLayout {
                version,
                build: Identity::read(&self.folder.join(format!("v{version}/programs"))).map(|it| it.build),
                ports: linked(&self.folder.join(format!("v{version}/links"))).len(),
            })
            .collect();
        others.sort_unstable_by_key(|other| other.version);
        others
    }

    /// An error where there are others.
    pub(super) fn refuse_others(&self) -> Result<(), DatapathError> {
        match self.others().pop() {
            Some(other) => Err(DatapathError::OtherLayout { folder: self.folder.clone(), other }),
            None => Ok(()),
        }
    }

    /// Links are named by index: an interface's name may have a dot, a pin's may not.
    pub(super) fn link(&self, ifindex: u32, direction: Direction) -> PathBuf {
        self.version().join("links").join(format!("{ifindex}_{direction}"))
    }

    /// Makes the folder of links anew where somebody has removed it.
    pub(super) fn make_room_for_links(&self) -> Result<(), DatapathError> {
        create_dir(&self.version().join("links"))
    }

    /// A folder that is there while the kernel is asked to hurry.
    pub(super) fn haste(&self) -> PathBuf {
        self.folder.join("haste")
    }

    /// Interfaces that have pinned links.
    pub(super) fn linked(&self) -> Vec<u32> {
        linked(&self.version().join("links"))
    }

    /// Makes sure that the folder is in a BPF file system, mounting one at the standard place if need be.
    pub(super) fn prepare(&self) -> Result<(), DatapathError> {
        if !in_bpffs(&self.folder)? {
            let standard = Path::new(STANDARD_MOUNT);
            // What is pinned there by others must not be hidden behind a new one.
            if !self.folder.starts_with(standard) || in_bpffs(standard)? {
                return Err(DatapathError::NotBpffs(self.folder.clone()));
            }
            rustix::mount::mount("bpf", standard, "bpf", rustix::mount::MountFlags::empty(), c"mode=700")
                .map_err(|error| match error {
                    // A service may not mount, and what it mounted nobody else would see.
                    Errno::PERM | Errno::ACCESS => DatapathError::NotBpffs(self.folder.clone()),
                    error => DatapathError::io(standard, error),
                })?;
        }
        create_dir(&self.folder)
    }

    /// Pins a whole set: `pin` is given the paths of an unfinished folder, which appears when it succeeds.
    pub(super) fn install(
        &self,
        pin: impl FnOnce(&Self) -> Result<(), DatapathError>,
    ) -> Result<(), DatapathError> {
        // The unfinished folder is itself a folder of pins, of a name that no version has.
        let unfinished = Self { folder: self.folder.join("unfinished") };
        if unfinished.folder.exists() {
            fs::remove_dir_all(&unfinished.folder)
                .map_err(|error| DatapathError::io(&unfinished.folder, error))?;
        }
        for folder in [
            unfinished.folder.clone(),
            unfinished.version(),
            unfinished.version().join("maps"),
            unfinished.version().join("programs"),
            unfinished.version().join("links"),
            unfinished.owner(namespace()?),
        ] {
            create_dir(&folder)?;
        }
        pin(&unfinished)?;
        fs::rename(unfinished.version(), self.version())
            .map_err(|error| DatapathError::io(&self.version(), error))?;
        fs::remove_dir(&unfinished.folder).map_err(|error| DatapathError::io(&unfinished.folder, error))
    }
}

/// Interfaces that have links in a folder.
fn linked(folder: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut linked: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.split_once('_')?.0.parse().ok())
        .collect();
    linked.sort_unstable();
    linked.dedup();
    linked
}

fn namespace() -> Result<u64, DatapathError> {
    crate::netdev::namespace()
        .map_err(|error| DatapathError::io(Path::new("/proc/thread-self/ns/net"), error))
}

pub(super) fn create_dir(path: &Path) -> Result<(), DatapathError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| DatapathError::io(path, error))
}

/// Whether the nearest existing folder above `path` is in a BPF file system.
pub fn in_bpffs(path: &Path) -> Result<bool, DatapathError> {
    let existing = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let stat = statfs(existing).map_err(|error| DatapathError::io(existing, error))?;
    Ok(u64::try_from(stat.f_type).is_ok_and(|kind| kind & 0xffff_ffff == BPF_FS_MAGIC))
}
