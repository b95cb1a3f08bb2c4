//! A row for each thing that happened.

use std::fmt;

use super::gauge::Growth;

pub(super) struct Table {
    agents: usize,
    rows: Vec<Vec<String>>,
}

const HEAD: [&str; 9] = [
    "",
    "first",
    "median",
    "last s",
    "msgs",
    "bytes",
    "bytes at the hub",
    "consumers (at once)",
    "hub ms, MiB",
];

impl Table {
    pub(super) fn of(agents: usize) -> Self {
        Self { agents, rows: vec![HEAD.map(str::to_owned).to_vec()] }
    }

    /// `times`: when it began, and when each device was done, in order.
    pub(super) fn row(
        &mut self,
        name: &str,
        times: Option<(i64, Vec<i64>)>,
        growth: &Growth,
        at_once: u64,
        mib: u64,
    ) {
        let mut row = vec![name.to_owned()];
        let (from, times) = times.unwrap_or_default();
        for at in [times.first(), times.get(times.len() / 2), times.last()] {
            row.push(at.map_or_else(String::new, |at| seconds(at - from)));
        }
        let each = |all: u64| (all as f64) / (self.agents as f64);
        row.push(format!("{:.1}", each(growth.messages)));
        row.push(format!("{:.0}", each(growth.paths)));
        row.push(format!("{:.0}", each(growth.line)));
        row.push(format!("{:.1} ({at_once})", each(growth.made)));
        row.push(format!("{}, {mib}", growth.cpu.as_millis()));
        self.rows.push(row);
    }
}

fn seconds(nanos: i64) -> String {
    format!("{:.2}", nanos as f64 / 1e9)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} agents; messages, bytes and consumers for each of them", self.agents)?;
        let wide =
            |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                let width = wide(at).unwrap_or(0);
                if at == 0 { write!(f, "{cell:width$}")? } else { write!(f, "  {cell:>width$}")? }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
