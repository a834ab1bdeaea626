//! How busy the machine is, and how full its disk.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use procfs::{Current, LoadAverage, Meminfo};
use umail_proto::agent::Load;

use crate::layout::Layout;

/// Looks at the machine. What cannot be read stays 0.
pub(super) fn observe(layout: &Layout) -> Load {
    let memory = Meminfo::current().ok();
    let (disk_total_bytes, disk_available_bytes) = disk(layout);
    Load {
        load_1m: LoadAverage::current().map(|load| f64::from(load.one)).unwrap_or_default(),
        cpus: cpus(),
        memory_total_bytes: memory.as_ref().map(|memory| memory.mem_total).unwrap_or_default(),
        memory_available_bytes: memory.and_then(|memory| memory.mem_available).unwrap_or_default(),
        disk_total_bytes,
        disk_available_bytes,
    }
}

fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map(usize::from).unwrap_or_default();
    u32::try_from(cpus).unwrap_or_default()
}

/// The file system of the mail store, of the queue where there is none, of the data otherwise.
fn disk(layout: &Layout) -> (u64, u64) {
    let folders = [layout.mail(), layout.queue(), layout.root().to_owned()];
    folders.iter().find_map(|folder| space(folder)).unwrap_or_default()
}

fn space(folder: &Path) -> Option<(u64, u64)> {
    let found = statvfs(folder).ok()?;
    Some((found.blocks() * found.fragment_size(), found.blocks_available() * found.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_this_machine_is_plausible() {
        let folder = tempfile::tempdir().unwrap();
        let load = observe(&Layout::new(folder.path()));
        assert!(load.cpus > 0);
        assert!(load.memory_available_bytes > 0);
        assert!(load.memory_available_bytes < load.memory_total_bytes);
        assert!(load.disk_available_bytes <= load.disk_total_bytes);
        assert!(load.disk_total_bytes > 0);
    }
}
