//! How much memory there is: of the machine, of the container that the program runs in, and of what a process may take.

use std::fs::read_to_string;
use std::path::Path;

/// The least of all limits that are known. Both in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Main memory that may be held.
    pub memory: f64,
    pub of: &'static str,
    /// Addresses that are left to this process (`ulimit -v`); infinite where nothing limits them.
    pub addresses: f64,
}

/// `None` where the system says nothing (only Linux does).
pub fn room() -> Option<Room> {
    let machine = kilobytes(&read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let container = container(&groups, Path::new("/sys/fs/cgroup"));
    let limits = read_to_string("/proc/self/limits").unwrap_or_default();
    let taken = read_to_string("/proc/self/status").ok().and_then(|status| kilobytes(&status, "VmSize:"));
    let addresses = addresses(&limits).map_or(f64::INFINITY, |most| most - taken.unwrap_or(0.0));
    Some(match container {
        Some(limit) if limit < machine => Room { memory: limit, of: "this container", addresses },
        _ => Room { memory: machine, of: "this machine", addresses },
    })
}

/// Of a line "name:   123 kB", in bytes.
fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(1024.0 * line.split_whitespace().nth(1)?.parse::<f64>().ok()?)
}

/// The least limit of the control groups that the process is in and of all above them: version 2 names one path
/// ("0::/a/b"), version 1 one for each controller ("4:memory:/a/b"). Inside a container the path may be one of the host,
/// so that only the root is there.
fn container(groups: &str, root: &Path) -> Option<f64> {
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let (root, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            some if some.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let here = root.join(path.trim_start_matches('/'));
        let up = here.ancestors().take_while(|dir| dir.starts_with(&root));
        up.filter_map(|dir| read_to_string(dir.join(file)).ok()?.trim().parse::<f64>().ok()).collect()
    });
    limits.min_by(f64::total_cmp) // "max" is no number, and no limit
}

/// The soft limit of "Max address space", in bytes.
fn addresses(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_least_limit_of_a_container_holds() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |groups: &str| container(groups, root.path());
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/memory.max", "5000\n");
        assert_eq!(limit("0::/a/b\n"), Some(5000.0));
        write("a/b/memory.max", "4000\n");
        assert_eq!(limit("0::/a/b\n"), Some(4000.0));
        write("memory.max", "3000\n");
        assert_eq!(
            (limit("0::/a/b\n"), limit("0::/of/the/host\n"), limit("0::/\n")),
            (Some(3000.0), Some(3000.0), Some(3000.0))
        );
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/x/memory.limit_in_bytes", "2000\n");
        assert_eq!(limit("5:cpu,cpuacct:/x\n4:memory:/x/y\n"), Some(2000.0));
        assert_eq!(limit("4:memory:/\n"), Some(9223372036854771712.0), "version 1 has a number for no limit");
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max address space         32212254720          unlimited            bytes     \n";
        assert_eq!(addresses(limits), Some(32212254720.0));
        assert_eq!(addresses(&limits.replace("32212254720", "unlimited")), None);
        assert_eq!(kilobytes("MemFree: 1 kB\nMemTotal:       24576 kB\n", "MemTotal:"), Some(25165824.0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some() {
        let room = room().unwrap();
        assert!(room.memory > 1e6 && room.addresses > 1e6);
    }
}
