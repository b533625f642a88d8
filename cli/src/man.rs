//! `tmem man`: the man pages, made from the command line's own description and the example of `vm.toml`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Args;
use crate::example::EXAMPLE;

/// Writes a page for each command, and `vm.toml.5`, into `folder`, which is made where it is not there.
pub fn write_pages(folder: &Path) -> Result<()> {
    let explain = || format!("cannot write man pages into {}", folder.display());
    fs::create_dir_all(folder).with_context(explain)?;
    clap_mangen::generate_to(Args::command(), folder).with_context(explain)?;
    fs::write(folder.join("vm.toml.5"), vm_toml()).with_context(explain)
}

/// vm.toml(5): a few words around the example, which has every key.
fn vm_toml() -> String {
    let mut page = Roff::new();
    page.control("TH", ["vm.toml", "5", "", concat!("tmem ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]).text([roman("vm.toml - a virtual machine for tmem run")]);
    page.control("SH", ["SYNOPSIS"]).text([bold("tmem run "), roman("vm.toml")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "The file describes one VM, in TOML. An unknown key, a value that makes no sense, a file that is missing or in use \
         is an error that names file, line and key; nothing is started then. A flag of tmem run replaces the key of the \
         same name. What follows is what tmem run --example prints.",
    )]);
    page.control("SH", ["EXAMPLE"]).control("nf", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]).text([bold("tmem-run"), roman("(1), "), bold("tmem-check"), roman("(1)")]);
    page.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command_and_for_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man");
        write_pages(&pages).unwrap();
        let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
        for command in
            ["tmem", "tmem-run", "tmem-check", "tmem-list", "tmem-set", "tmem-policy-check", "tmem-policy-replay"]
        {
            assert!(page(&format!("{command}.1")).contains(".TH"), "{command}");
        }
        assert!(page("tmem-run.1").contains("130"), "with its exit codes");
        assert!(!pages.join("tmem-man.1").exists(), "but not for what is hidden");
        let file = page("vm.toml.5");
        assert_eq!(file.matches("recompress_after_seconds").count(), 1, "{file}");
    }
}
