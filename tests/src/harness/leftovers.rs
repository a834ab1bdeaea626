//! Clearing away all that a fleet has on the machine, also what a killed run has left.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::network;

/// Folder in which the kernel's names of network namespaces lie.
const NAMESPACES: &str = "/run/netns";

/// The folder of everything that a fleet writes. Short, for the sockets below it.
#[must_use]
pub fn folder(number: u8) -> PathBuf {
    PathBuf::from(format!("/tmp/umail-fleet-{number}"))
}

/// Ends every process of the fleet, then removes its namespaces, links, mounts and files.
pub fn clear(number: u8) {
    let folder = folder(number);
    let namespaces = namespaces(number);
    // The database goes first and in its own way: it gives back its shared memory.
    signal_all(&databases(&folder), Signal::SIGQUIT);
    wait_for_end(Duration::from_secs(3), || databases(&folder));
    wait_for_end(Duration::from_secs(5), || {
        let rest = processes(&folder, &namespaces);
        signal_all(&rest, Signal::SIGKILL);
        rest
    });
    for name in &namespaces {
        // A namespace may be going already: what counts is that it is gone at the end.
        network::ip(&format!("netns del {name}")).ok();
    }
    network::ip(&format!("link del um{number}h")).ok();
    unmount_below(&folder);
    fs::remove_dir_all(&folder).ok();
}

/// Clears what runs have left that are no more.
pub fn clear_abandoned() {
    for number in names("/tmp", "umail-fleet-").chain(names(NAMESPACES, "umail-")) {
        let abandoned = network::claim(number);
        if abandoned.is_some() {
            clear(number);
        }
    }
}

/// What the fleet still has on the machine; empty after [`clear`].
#[must_use]
pub fn remains(number: u8) -> Vec<String> {
    let folder = folder(number);
    let namespaces = namespaces(number);
    let mut remains = Vec::new();
    for pid in processes(&folder, &namespaces) {
        remains.push(format!("process {pid} {}", command_name(pid)));
    }
    remains.extend(namespaces.iter().map(|name| format!("namespace {name}")));
    remains.extend(mounts_below(&folder).iter().map(|path| format!("mount {}", path.display())));
    if Path::new(&format!("/sys/class/net/um{number}h")).exists() {
        remains.push(format!("link um{number}h"));
    }
    if folder.exists() {
        remains.push(format!("folder {}", folder.display()));
    }
    remains
}

/// The numbers in the names of a folder's entries: `PREFIX` NUMBER, then nothing or `-…`.
fn names(folder: &str, prefix: &str) -> impl Iterator<Item = u8> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let numbers: BTreeSet<u8> = names
        .filter_map(|name| name.strip_prefix(prefix)?.split('-').next()?.parse().ok())
        .collect();
    numbers.into_iter()
}

fn namespaces(number: u8) -> Vec<String> {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("umail-{number}-"))).collect()
}

/// Masters of the databases of the fleet's servers.
fn databases(folder: &Path) -> Vec<i32> {
    let in_folder = |pid: &i32| working_folder(*pid).is_some_and(|path| path.starts_with(folder));
    all_processes().filter(in_folder).filter(|pid| is_database_master(*pid)).collect()
}

/// The child processes of a PostgreSQL master have it as parent and the same name.
fn is_database_master(pid: i32) -> bool {
    let parent = fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<i32>().ok());
    command_name(pid) == "postgres" && parent.is_some_and(|pid| command_name(pid) != "postgres")
}

/// Processes in the fleet's namespaces, and its servers and databases outside.
fn processes(folder: &Path, namespaces: &[String]) -> Vec<i32> {
    let inodes: Vec<u64> = namespaces
        .iter()
        .filter_map(|name| Some(fs::metadata(Path::new(NAMESPACES).join(name)).ok()?.ino()))
        .collect();
    let ours = |pid: &i32| {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/net")).map(|meta| meta.ino());
        let ours_by_name = matches!(command_name(*pid).as_str(), "umail-api" | "postgres");
        namespace.is_ok_and(|inode| inodes.contains(&inode))
            || (ours_by_name && working_folder(*pid).is_some_and(|path| path.starts_with(folder)))
    };
    all_processes().filter(ours).collect()
}

fn all_processes() -> impl Iterator<Item = i32> {
    let own = Pid::this().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok()?.parse().ok())
        .filter(move |pid| *pid != own)
}

fn working_folder(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

fn command_name(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        // It may have ended in the meantime.
        kill(Pid::from_raw(*pid), signal).ok();
    }
}

fn wait_for_end(limit: Duration, mut still: impl FnMut() -> Vec<i32>) {
    let end = Instant::now() + limit;
    while !still().is_empty() && Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

fn unmount_below(folder: &Path) {
    for point in mounts_below(folder).iter().rev() {
        nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH).ok();
    }
}
