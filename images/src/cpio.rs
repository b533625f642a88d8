//! The archive format of initramfs images: cpio "newc", as the kernel's `Documentation/driver-api/early-userspace/
//! buffer-format.rst` describes it. The bytes depend on nothing but the entries.

use anyhow::{Context, Result};

/// What an entry is, with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file with its permission bits.
    File { mode: u32, content: Vec<u8> },
    /// A directory, mode 755.
    Directory,
    /// A symbolic link and what it points to.
    Link(String),
}

impl Node {
    /// The file type and permissions, as `st_mode` has them.
    fn mode(&self) -> u32 {
        match self {
            Self::File { mode, .. } => 0o100_000 | mode,
            Self::Directory => 0o040_755,
            Self::Link(_) => 0o120_777,
        }
    }

    fn content(&self) -> &[u8] {
        match self {
            Self::File { content, .. } => content,
            Self::Directory => &[],
            Self::Link(target) => target.as_bytes(),
        }
    }
}

/// Makes an archive of `entries`: paths without a leading slash, parents before what is in them.
pub(crate) fn archive<'a>(entries: impl IntoIterator<Item = (&'a str, &'a Node)>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut inode = 0;
    for (path, node) in entries {
        inode += 1;
        append(&mut out, inode, path, node.mode(), node.content())?;
    }
    append(&mut out, 0, "TRAILER!!!", 0, &[])?;
    Ok(out)
}

fn append(out: &mut Vec<u8>, inode: u32, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let size = u32::try_from(content.len()).with_context(|| format!("{path} is too large for an initramfs"))?;
    let name_size = u32::try_from(path.len() + 1).context("a path is too long for an initramfs")?;
    // inode, mode, uid, gid, links, time, size, device (2), represented device (2), name size, checksum
    let header = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    out.extend_from_slice(b"070701");
    for field in header {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(content);
    pad(out);
    Ok(())
}

/// Names and contents end on a multiple of four bytes.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_newc() {
        let file = Node::File { mode: 0o755, content: b"hello".to_vec() };
        let bytes = archive([("init", &file)]).unwrap();
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[14..22], b"000081ed", "a file of mode 755");
        assert_eq!(&bytes[54..62], b"00000005", "its size");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..121], b"hello", "on a multiple of four");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        let entries = [("bin", Node::Directory), ("bin/sh", Node::Link("busybox".into()))];
        let make = || archive(entries.iter().map(|(path, node)| (*path, node))).unwrap();
        assert_eq!(make(), make());
    }
}
