//! Running other programs: output is captured, and a failure carries the end of what the program said.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// How much of a failed program's output an error shows.
const SHOWN_LINES: usize = 20;

/// A program to run, without its input, in the C locale so that its output can be parsed.
pub(crate) struct Run(Command);

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).env("LC_ALL", "C");
        Self(command)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs to the end and returns standard output as it is.
    pub(crate) fn bytes(mut self) -> Result<Vec<u8>> {
        let name = self.0.get_program().to_string_lossy().into_owned();
        let output = self.0.output().with_context(|| format!("cannot run {name}; is it installed?"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("{name} failed ({}):\n{}", output.status, last_lines(&String::from_utf8_lossy(&said)));
        }
        Ok(output.stdout)
    }

    /// Runs to the end and returns standard output as text.
    pub(crate) fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// Runs to the end for its effect.
    pub(crate) fn done(self) -> Result<()> {
        self.bytes().map(drop)
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let error = Run::new("sh").args(["-c", "echo out; echo the reason >&2; exit 3"]).done().unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
        assert!(error.to_string().contains('3'), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Run::new("no-such-program-here").done().unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_shown() {
        let text = (0..100).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        let shown = last_lines(&text);
        assert_eq!(shown.lines().count(), SHOWN_LINES);
        assert!(shown.ends_with("99"));
    }
}
