//! The screen with keys.

use std::time::{Duration, Instant};

use anyhow::Result;
use protocol::{Request, VmName};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::choice::Choice;
use super::rows::{Row, Sample, Sort, rows};
use super::{sample, view};
use crate::explain;
use crate::service::Service;
use crate::tell;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    End,
    Up,
    Down,
    Explain,
    Freeze,
    Sort(Sort),
}

/// The meaning of a key, if it has one.
fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind != KeyEventKind::Press {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::End),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::Enter | KeyCode::Char('x') => Some(Key::Explain),
        KeyCode::Char('f') => Some(Key::Freeze),
        KeyCode::Char(key) => Sort::of_key(key).map(Key::Sort),
        _ => None,
    }
}

/// Runs until a key ends it. The terminal is as before then, whatever happens.
pub fn run(service: &mut Service, delay: Duration, sort: Sort) -> Result<()> {
    let mut terminal = ratatui::try_init()?;
    let result = Screen::new(service, delay, sort).and_then(|mut screen| screen.run(&mut terminal));
    ratatui::restore();
    result
}

struct Screen<'a> {
    service: &'a mut Service,
    delay: Duration,
    sort: Sort,
    before: Option<Sample>,
    now: Sample,
    choice: Choice,
    /// What is said on top of the rows.
    said: Option<String>,
}

impl<'a> Screen<'a> {
    fn new(service: &'a mut Service, delay: Duration, sort: Sort) -> Result<Self> {
        let now = sample(service)?;
        Ok(Self { service, delay, sort, before: None, now, choice: Choice::default(), said: None })
    }

    fn run(&mut self, terminal: &mut DefaultTerminal) -> Result<()> {
        loop {
            let rows = rows(self.before.as_ref(), &self.now, self.sort);
            self.choice.find(&rows);
            let table = self.choice.table();
            terminal.draw(|frame| view::draw(frame, &self.now, &rows, table, self.said.as_deref()))?;
            let due = self.now.at + self.delay;
            if !event::poll(due.saturating_duration_since(Instant::now()))? {
                let now = sample(self.service)?;
                self.before = Some(std::mem::replace(&mut self.now, now));
                continue;
            }
            let Event::Key(key) = event::read()? else { continue };
            let Some(key) = meaning(key) else {
                self.said = None;
                continue;
            };
            if key == Key::End && self.said.is_none() {
                return Ok(());
            }
            if self.said.take().is_none() {
                self.act(key, &rows);
            }
        }
    }

    fn act(&mut self, key: Key, rows: &[Row]) {
        match key {
            Key::End => {}
            Key::Up => self.choice.up(rows),
            Key::Down => self.choice.down(rows),
            Key::Sort(sort) => self.sort = sort,
            Key::Explain => self.said = self.choice.row(rows).map(|row| self.explain(&row.vm.name)),
            Key::Freeze => self.said = self.choice.row(rows).and_then(freeze_or_thaw),
        }
    }

    fn explain(&mut self, vm: &VmName) -> String {
        match self.service.explain(vm.clone()) {
            Ok(decision) => format!("{vm}\n\n{}", explain::in_words(&decision)),
            Err(error) => format!("{:#}", anyhow::Error::from(error)),
        }
    }
}

/// Freezes a VM that is not, and thaws one that is. Returns what went wrong.
fn freeze_or_thaw(row: &Row) -> Option<String> {
    let request = if row.vm.counts.frozen { Request::Thaw } else { Request::Freeze };
    let told = tell::connect(&row.vm.name).and_then(|mut connection| Ok(connection.tell(request)?));
    told.err().map(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_meaning_each() {
        let press = |code| meaning(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(press(KeyCode::Char('q')), Some(Key::End));
        assert_eq!(press(KeyCode::Char('f')), Some(Key::Freeze));
        assert_eq!(press(KeyCode::Char('u')), Some(Key::Sort(Sort::Used)));
        assert_eq!(press(KeyCode::Char('z')), None);
        let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(meaning(end), Some(Key::End));
        assert_eq!(meaning(KeyEvent { kind: KeyEventKind::Release, ..end }), None);
    }
}
