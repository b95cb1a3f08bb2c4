//! Which pressure shuts gates, as far as the kernel can tell when it is over. Pure.

use crate::job::{Pressure, Readings, Require, Resource};

/// The pressure that somebody waits to see the end of, with the highest bound of each kind, in percent: the first gate
/// that opens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressed {
    cpu: Option<f32>,
    memory: Option<f32>,
    io: Option<f32>,
}

impl Pressed {
    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what of `require` these readings are above.
    pub fn add(&mut self, require: &Require, readings: &Readings) {
        for (bound, at_most, found) in [
            (&mut self.cpu, require.cpu_pressure, readings.cpu_pressure),
            (&mut self.memory, require.memory_pressure, readings.memory_pressure),
            (&mut self.io, require.io_pressure, readings.io_pressure),
        ] {
            if let (Some(at_most), Some(Pressure::Some10(percent))) = (at_most, found)
                && percent > at_most
            {
                *bound = Some(bound.map_or(at_most, |bound| bound.max(at_most)));
            }
        }
    }

    /// Each kind with its bound.
    pub fn bounds(&self) -> impl Iterator<Item = (Resource, f32)> {
        let kinds = [
            (Resource::CpuPressure, self.cpu),
            (Resource::MemoryPressure, self.memory),
            (Resource::IoPressure, self.io),
        ];
        kinds.into_iter().filter_map(|(kind, bound)| Some((kind, bound?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bound_that_is_passed_is_watched() {
        let require = |percent| Require { cpu_pressure: Some(percent), ..Require::default() };
        let readings = Readings { cpu_pressure: Some(Pressure::Some10(50.0)), ..Readings::default() };
        let mut pressed = Pressed::default();
        for percent in [20.0, 40.0, 30.0, 60.0] {
            pressed.add(&require(percent), &readings);
        }
        assert_eq!(pressed.bounds().collect::<Vec<_>>(), [(Resource::CpuPressure, 40.0)]);
        // What stands in for PSI has no trigger, and what cannot be read has none.
        let mut pressed = Pressed::default();
        for found in [Some(Pressure::Load(9.0)), None] {
            pressed.add(&require(1.0), &Readings { cpu_pressure: found, ..Readings::default() });
        }
        assert!(pressed.is_empty());
    }
}
