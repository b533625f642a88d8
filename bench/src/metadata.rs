//! What the index takes for a file cache: objects and pages as a folder has them, with nothing in the pages.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, PAGE_SIZE, Page, PoolKind, Status};

use crate::contender::{SEED, per_page};

/// What the index may take (`docs/bench.md`).
const PAGE_BYTES: u64 = 24;
const OBJECT_BYTES: u64 = 128;

/// Arguments of `cargo xtask bench metadata`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The files of this folder, of one file system
    #[arg(long, default_value = "/usr")]
    folder: PathBuf,
    /// Most files
    #[arg(long, default_value_t = 200_000)]
    most: usize,
}

/// A guest whose pages are all zero, so that the arena holds nothing.
struct Zeros;

impl GuestPages for Zeros {
    fn read_page(&self, _: u64, into: &mut Page) -> Result<(), BadFrame> {
        into.fill(0);
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Err(BadFrame)
    }
}

/// Files of about the same size, and what they took.
#[derive(Default)]
struct Group {
    objects: u64,
    pages: u64,
    bytes: u64,
}

impl Group {
    fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.pages += other.pages;
        self.bytes += other.bytes;
    }

    fn bound(&self) -> u64 {
        self.pages * PAGE_BYTES + self.objects * OBJECT_BYTES
    }
}

/// Stores the files' pages, groups of sizes one after the other, and prints what each took.
pub(crate) fn print(arguments: &Arguments) -> Result<()> {
    let files = files(&arguments.folder, arguments.most)?;
    let client = Client::new(ClientConfig::new(1 << 40, SEED))?;
    let pool = client.pool_new(PoolKind::Ephemeral).map_err(|status| anyhow::anyhow!("no pool: {status:?}"))?;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["pages of a file", "files", "pages", "bytes", "a file", "a page", "bound"]);
    let mut all = Group::default();
    for (least, most) in [(1, 1), (2, 4), (5, 16), (17, 64), (65, 512), (513, u32::MAX)] {
        let before = client.statistics().metadata_bytes;
        let mut group = Group::default();
        for (object, pages) in files.iter().filter(|(_, pages)| (least..=most).contains(pages)) {
            put_file(&client, pool, *object, *pages)?;
            group.objects += 1;
            group.pages += u64::from(*pages);
        }
        group.bytes = client.statistics().metadata_bytes - before;
        all.add(&group);
        let name = if most == u32::MAX { format!("{least} and more") } else { format!("{least} to {most}") };
        table.add_row(row(&name, &group)?);
    }
    ensure!(client.statistics().ephemeral_pages == all.pages, "the store holds fewer pages than were put");
    table.add_row(row("all", &all)?);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{}, metadata bytes; bound: {PAGE_BYTES} a page and {OBJECT_BYTES} a file", arguments.folder.display());
    println!("{table}");
    Ok(())
}

fn row(name: &str, group: &Group) -> Result<[String; 7]> {
    let a = |count: u64| usize::try_from(count).map(|count| format!("{:.1}", per_page(group.bytes, count.max(1))));
    Ok([
        name.to_owned(),
        group.objects.to_string(),
        group.pages.to_string(),
        group.bytes.to_string(),
        a(group.objects)?,
        a(group.pages)?,
        group.bound().to_string(),
    ])
}

fn put_file(client: &Client, pool: u32, object: ObjectId, pages: u32) -> Result<()> {
    for index in 0..pages {
        let status = client.put(Key { pool, object, index }, 0, &Zeros);
        ensure!(status == Status::Ok, "the store answered {status:?} to a put");
    }
    Ok(())
}

/// Id and pages of each file that has any, named as a file system's driver would: by its device and inode.
fn files(folder: &Path, most: usize) -> Result<Vec<(ObjectId, u32)>> {
    let device = fs::metadata(folder).with_context(|| format!("cannot read {}", folder.display()))?.dev();
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != device {
                continue;
            }
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() && metadata.len() > 0 && files.len() < most {
                let pages = u32::try_from(metadata.len().div_ceil(PAGE_SIZE as u64))?;
                files.push((ObjectId([metadata.dev(), metadata.ino(), 0]), pages));
            }
        }
    }
    // A file with several names is one.
    files.sort_unstable();
    files.dedup();
    Ok(files)
}
