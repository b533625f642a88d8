//! Which row is chosen: a VM and not a place, for rows change their places at every look.

use protocol::VmName;
use ratatui::widgets::TableState;

use super::rows::Row;

/// The chosen row. One always is, where there are any.
#[derive(Debug, Default)]
pub struct Choice {
    vm: Option<VmName>,
    /// Its place when it was last looked for.
    place: usize,
    /// What is drawn, and how far it is scrolled.
    table: TableState,
}

impl Choice {
    /// Looks where the chosen VM is now. Where it has gone, the one in its place is chosen.
    pub fn find(&mut self, rows: &[Row]) {
        let found = self.vm.as_ref().and_then(|vm| rows.iter().position(|row| row.vm.name == *vm));
        self.choose(found.unwrap_or(self.place), rows);
    }

    /// The row above.
    pub fn up(&mut self, rows: &[Row]) {
        self.choose(self.place.saturating_sub(1), rows);
    }

    /// The row below.
    pub fn down(&mut self, rows: &[Row]) {
        self.choose(self.place.saturating_add(1), rows);
    }

    fn choose(&mut self, place: usize, rows: &[Row]) {
        self.place = place.min(rows.len().saturating_sub(1));
        self.vm = rows.get(self.place).map(|row| row.vm.name.clone());
        self.table.select(self.vm.is_some().then_some(self.place));
    }

    /// The row of the chosen VM.
    pub fn row<'a>(&self, rows: &'a [Row]) -> Option<&'a Row> {
        rows.iter().find(|row| Some(&row.vm.name) == self.vm.as_ref())
    }

    /// For drawing.
    pub fn table(&mut self) -> &mut TableState {
        &mut self.table
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::rows::tests::{sample, vm};
    use super::super::rows::{Sort, rows};
    use super::*;

    /// Rows sorted by what VMs hold.
    fn holding(vms: &[(&str, u64)]) -> Vec<Row> {
        let vms = vms.iter().map(|(name, used)| vm(name, *used, 0)).collect();
        rows(None, &sample(Instant::now(), vms), Sort::Used)
    }

    fn chosen(choice: &Choice, rows: &[Row]) -> String {
        choice.row(rows).map(|row| row.vm.name.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_vm_stays_chosen_when_the_rows_are_sorted_again() {
        let mut choice = Choice::default();
        let before = holding(&[("a", 3), ("b", 2), ("c", 1)]);
        choice.find(&before);
        choice.down(&before);
        assert_eq!(chosen(&choice, &before), "b");
        let after = holding(&[("a", 3), ("b", 0), ("c", 9)]);
        choice.find(&after);
        assert_eq!((chosen(&choice, &after).as_str(), choice.table().selected()), ("b", Some(2)));
        choice.up(&after);
        assert_eq!(chosen(&choice, &after), "a");
    }

    #[test]
    fn where_the_chosen_vm_has_gone_its_neighbour_is_chosen() {
        let mut choice = Choice::default();
        let before = holding(&[("a", 3), ("b", 2)]);
        choice.find(&before);
        choice.down(&before);
        let after = holding(&[("a", 3)]);
        assert_eq!(chosen(&choice, &after), "", "no other one is acted on meanwhile");
        choice.find(&after);
        assert_eq!(chosen(&choice, &after), "a");
        choice.find(&[]);
        assert_eq!((chosen(&choice, &[]), choice.table().selected()), (String::new(), None));
    }
}
