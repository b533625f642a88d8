//! What people read: sizes, times, tables, complaints.
//!
//! Texts of other processes are shown with their control characters spelled out: a VM's label or message must not be
//! able to drive the terminal of whoever looks at it.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::time::Duration;

use anyhow::Result;
use comfy_table::{Table, presets};

/// Prints to standard output. That nobody reads it any more, as with `| head`, is no error.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// One line to standard error about what happens.
pub fn tell(text: &str) {
    // That nobody reads standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "tmem: {}", harmless(text));
}

/// An error with its causes, to standard error.
pub fn complain(error: &anyhow::Error) {
    tell(&format!("{error:#}"));
}

/// A table of columns without lines.
pub fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for row in rows {
        table.add_row(row.map(|cell| harmless(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

/// A size for people, to three digits or so.
pub fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((unit, shift)) => {
            let whole = bytes >> shift;
            let rest = bytes - (whole << shift);
            let tenths = (u128::from(rest) * 10) >> shift;
            if tenths == 0 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
        }
    }
}

/// A duration for people, in its two largest units.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)];
    match units.into_iter().find(|(_, length, ..)| seconds >= *length) {
        None => format!("{seconds} s"),
        Some((unit, length, smaller, smaller_length)) => {
            format!("{} {unit} {} {smaller}", seconds / length, seconds % length / smaller_length)
        }
    }
}

/// The text with control characters spelled out.
fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut harmless, c| {
        if c.is_control() {
            let _ = write!(harmless, "{}", c.escape_default());
        } else {
            harmless.push(c);
        }
        harmless
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (256 << 20, "256 MiB"),
            ((256 << 20) + 1, "256 MiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "16777215 TiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations_read_well() {
        let table = [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (180_000, "2 d 2 h")];
        for (seconds, text) in table {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let rows = [["name", "pid"], ["web-1", "7"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(rows), "name   pid\nweb-1  7\n");
    }

    #[test]
    fn texts_of_others_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\r\nb\u{9b}"), "a\\u{1b}[2J\\r\\nb\\u{9b}");
        assert_eq!(table([["\u{1b}[2J".to_owned()]]), "\\u{1b}[2J\n");
    }
}
