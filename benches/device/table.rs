//! What was measured beside what is allowed.

use std::fmt;

#[derive(Default)]
pub(super) struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    pub(super) fn row(&mut self, what: impl Into<String>, measured: impl Into<String>, budget: &str) {
        self.rows.push([what.into(), measured.into(), budget.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "budget"].map(str::to_owned);
        let wide =
            |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let (first, second) = (wide(0).unwrap_or(0), wide(1).unwrap_or(0));
        for [what, measured, budget] in std::iter::once(&head).chain(&self.rows) {
            writeln!(f, "{what:first$}  {measured:second$}  {budget}")?;
        }
        Ok(())
    }
}

/// The middle of what was measured, and its bounds: `12.3 (11.0-15.2) ms`.
pub(super) struct Spread {
    sorted: Vec<f64>,
}

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }

    pub(super) fn median(&self) -> f64 {
        self.sorted.get(self.sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn with_unit(&self, unit: &str) -> String {
        let least = self.sorted.first().copied().unwrap_or(f64::NAN);
        let most = self.sorted.last().copied().unwrap_or(f64::NAN);
        format!("{:.1} ({least:.1}-{most:.1}) {unit}", self.median())
    }
}
