//! What is drawn.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Margin};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Table, TableState, Wrap};

use super::rows::{HEAD, Row, Sample};
use crate::shares::in_a_line;

/// Columns, as wide as what stands in them.
const WIDTHS: [Constraint; 11] = [
    Constraint::Min(12),
    Constraint::Max(12),
    Constraint::Length(6),
    Constraint::Length(16),
    Constraint::Length(9),
    Constraint::Length(9),
    Constraint::Length(7),
    Constraint::Length(7),
    Constraint::Length(7),
    Constraint::Length(8),
    Constraint::Length(7),
];

const KEYS: &str = "q end   \u{2191}\u{2193} choose   x explain   f freeze, thaw   sort: n name u used l lease e entitled p puts g gets r rejects";

/// Draws the host, the rows, the keys, and what is said on top of them, if anything is.
pub fn draw(frame: &mut Frame<'_>, now: &Sample, rows: &[Row], chosen: &mut TableState, said: Option<&str>) {
    let [host, table, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Line::from(in_a_line(&now.host)).style(Modifier::BOLD), host);
    let head = TableRow::new(HEAD).style(Modifier::REVERSED);
    let lines = rows.iter().map(|row| TableRow::new(row.cells().map(Cell::from)));
    let widget =
        Table::new(lines, WIDTHS).header(head).row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(widget, table, chosen);
    frame.render_widget(Line::from(KEYS).style(Modifier::DIM), keys);
    if let Some(said) = said {
        let area = frame.area().inner(Margin { horizontal: 4, vertical: 2 });
        frame.render_widget(Clear, area);
        let text = Paragraph::new(said).wrap(Wrap { trim: false }).block(Block::bordered().title(" any key: back "));
        frame.render_widget(text, area);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::rows::tests::{sample, vm};
    use super::super::rows::{Sort, rows};
    use super::*;

    fn drawn(said: Option<&str>) -> String {
        let now = sample(Instant::now(), vec![vm("web", 48 << 20, 0), vm("db", 96 << 20, 0)]);
        let rows = rows(None, &now, Sort::Used);
        let mut terminal = Terminal::new(TestBackend::new(120, 8)).unwrap();
        let mut chosen = TableState::new().with_selected(Some(1));
        terminal.draw(|frame| draw(frame, &now, &rows, &mut chosen, said)).unwrap();
        let buffer = terminal.backend().buffer();
        let cells: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
        cells.chunks(120).map(|line| line.concat().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn the_host_the_rows_and_the_keys_are_there() {
        let text = drawn(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("host soft (memory)"), "{text}");
        assert!(lines[1].starts_with("NAME") && lines[1].contains("REJECT/s"), "{text}");
        assert!(lines[2].starts_with("db") && lines[2].contains("96 MiB"), "{text}");
        assert!(lines[3].starts_with("web"), "{text}");
        assert!(lines[7].starts_with("q end"), "{text}");
    }

    #[test]
    fn what_is_said_covers_the_rows_until_a_key() {
        let text = drawn(Some("lease  it grows"));
        assert!(text.contains("any key: back") && text.contains("lease  it grows"), "{text}");
    }
}
