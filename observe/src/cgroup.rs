//! Control groups (version 2): which one a process is in, and how much memory it may still take there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::text_of;

/// Longest path of a group that is taken.
const PATH_MAX_BYTES: usize = 4096;

/// Most levels of groups that are looked at.
const LEVELS_MAX: usize = 32;

/// The path of a control group, like `/machine.slice/vm-1.scope`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cgroup(String);

impl Cgroup {
    /// The group of a process; `None` where the process is gone, or in no group of version 2.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Self::in_text(&text_of(&PathBuf::from(format!("/proc/{pid}/cgroup"))).ok()?)
    }

    /// The group of the line `0::/path` (cgroups(7)).
    fn in_text(text: &str) -> Option<Self> {
        Self::at(text.lines().find_map(|line| line.strip_prefix("0::"))?)
    }

    /// The group at this path; `None` where that is no path of a group.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        (path.starts_with('/') && path.len() <= PATH_MAX_BYTES).then(|| Self(path.to_owned()))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0
    }

    /// The group and those above it, but the root, which has no limit.
    fn levels(&self) -> impl Iterator<Item = &str> {
        let path = self.0.trim_end_matches('/');
        // A group outside of the reader's own root is told as `/../…`: its limits cannot be seen from here.
        let seen = if path.split('/').any(|part| part == "..") { "" } else { path };
        std::iter::successors(Some(seen), |path| path.rsplit_once('/').map(|(above, _)| above))
            .take_while(|path| !path.is_empty())
            .take(LEVELS_MAX)
    }
}

/// What the groups' own limits leave; each group is read once.
#[derive(Debug)]
pub struct Groups {
    root: PathBuf,
    room: HashMap<String, Option<u64>>,
}

impl Default for Groups {
    /// Those of this host.
    fn default() -> Self {
        Self::below(Path::new("/sys/fs/cgroup"))
    }
}

impl Groups {
    /// Those below a folder that is laid out like `/sys/fs/cgroup`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), room: HashMap::new() }
    }

    /// How much memory processes of this group may still take: the least that it and the groups above it leave.
    /// `None` where none of them has a limit, or where limits cannot be read.
    pub fn room_bytes(&mut self, group: &Cgroup) -> Option<u64> {
        group.levels().filter_map(|path| self.room_of(path)).min()
    }

    fn room_of(&mut self, path: &str) -> Option<u64> {
        if let Some(room) = self.room.get(path) {
            return *room;
        }
        let room = room_in(&self.root.join(path.trim_start_matches('/')));
        self.room.insert(path.to_owned(), room);
        room
    }
}

/// `memory.max` less what is in use and cannot be dropped at once: pages of files that nobody has used for long can.
fn room_in(folder: &Path) -> Option<u64> {
    let number = |file: &str| text_of(&folder.join(file)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number: no limit.
    let max = number("memory.max")?;
    let current = number("memory.current")?;
    let stat = text_of(&folder.join("memory.stat")).unwrap_or_default();
    let inactive = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok());
    Some(max.saturating_sub(current.saturating_sub(inactive.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_group_of_version_2_is_found_among_others() {
        let text = "12:pids:/user.slice\n1:name=systemd:/x\n0::/machine.slice/vm-1.scope\n";
        assert_eq!(Cgroup::in_text(text).unwrap().path(), "/machine.slice/vm-1.scope");
        assert_eq!(Cgroup::in_text("4:memory:/old\n"), None);
        assert_eq!(Cgroup::in_text(""), None);
    }

    #[test]
    fn levels_go_up_to_the_root_and_not_outside() {
        let levels = |path: &str| Cgroup(path.into()).levels().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(levels("/a/b/c"), ["/a/b/c", "/a/b", "/a"]);
        assert_eq!(levels("/"), [""; 0]);
        assert_eq!(levels("/../../a"), [""; 0]);
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, max: &str, current: &str, stat: &str| {
            let folder = root.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in [("memory.max", max), ("memory.current", current), ("memory.stat", stat)] {
                fs::write(folder.join(file), text).unwrap();
            }
        };
        group("a", "1000\n", "700\n", "anon 1\ninactive_file 100\n");
        group("a/b", "max\n", "600\n", "");
        group("a/b/c", "900\n", "600\n", "");
        let mut groups = Groups::below(root.path());
        let mut room = |path: &str| groups.room_bytes(&Cgroup(path.into()));
        assert_eq!(room("/a/b/c"), Some(300));
        assert_eq!(room("/a/b"), Some(400), "what is dropped easily is room");
        assert_eq!(room("/none"), None);
        group("a/b/c", "900\n", "900\n", "");
        assert_eq!(Groups::below(root.path()).room_bytes(&Cgroup("/a/b/c".into())), Some(0));
        assert_eq!(groups.room_bytes(&Cgroup("/a/b/c".into())), Some(300), "read once");
    }
}
