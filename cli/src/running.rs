//! Which VMs run: the kernel's list of Unix sockets knows.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use anyhow::{Context, Result};
use protocol::VmName;

const SOCKETS: &str = "/proc/net/unix";

/// `__SO_ACCEPTCON` (include/uapi/linux/net.h): the socket listens.
const LISTENS: u32 = 1 << 16;

/// Names of all VMs whose control sockets listen in this network namespace. Any user can take such a name; who answers
/// is asked later.
pub fn vm_names() -> Result<BTreeSet<VmName>> {
    let names = File::open(SOCKETS).and_then(|file| names_in(BufReader::new(file)));
    names.with_context(|| format!("{SOCKETS} cannot be read, so running VMs cannot be found"))
}

fn names_in(sockets: impl BufRead) -> io::Result<BTreeSet<VmName>> {
    let lines = sockets.split(b'\n').map(|line| line.map(|line| std::str::from_utf8(&line).ok().and_then(name_in)));
    lines.filter_map(Result::transpose).collect()
}

/// The VM of a line `Num RefCount Protocol Flags Type St Inode Path`. An abstract name starts with `@`.
fn name_in(line: &str) -> Option<VmName> {
    let mut columns = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(columns.nth(3)?, 16).ok()?;
    let path = columns.nth(3)?;
    let name = path.strip_prefix('@')?;
    if flags & LISTENS == 0 || columns.next().is_some() {
        return None;
    }
    VmName::from_socket_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_control_sockets_are_found_among_others() {
        let text = b"\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 100 @tmem/vm/web
0000000000000000: 00000003 00000000 00000000 0001 03 101 @tmem/vm/web
0000000000000000: 00000003 00000000 00000000 0001 03 102 @tmem/vm/connected-only
0000000000000000: 00000002 00000000 00010000 0001 01 103 tmem/vm/in-a-folder
0000000000000000: 00000002 00000000 00010000 0001 01 104 @tmem/host
0000000000000000: 00000002 00000000 00010000 0001 01 105 @tmem/vm/two words
0000000000000000: 00000002 00000000 00010000 0001 01 106 @tmem/vm/\xff
0000000000000000: 00000003 00000000 00000000 0001 03 107
0000000000000000: 00000002 00000000 00010000 0001 01 108 @tmem/vm/db-1
garbage";
        let names = names_in(&text[..]).unwrap();
        assert_eq!(names.iter().map(VmName::as_str).collect::<Vec<_>>(), ["db-1", "web"]);
    }
}
