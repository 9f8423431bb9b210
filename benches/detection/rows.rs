//! The links that are tried.

use crate::link::Process;

/// A link that is tried, and what the tables call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
}

pub(crate) const ROWS: [Row; 10] = [
    independent("independent 0 %", 0.0),
    independent("independent 1 %", 0.01),
    independent("independent 5 %", 0.05),
    independent("independent 10 %", 0.10),
    bursts("bursts 150 ms, 2 %", 0.15, 0.02),
    bursts("bursts 600 ms, 2.8 %", 0.6, 0.028),
    bursts("bursts 2 s, 1.6 %", 2.0, 0.016),
    Row {
        name: "diurnal load",
        process: Process::Diurnal,
    },
    Row {
        name: "LTE handovers",
        process: Process::Handover,
    },
    Row {
        name: "Starlink, 15 s",
        process: Process::Starlink,
    },
];

const fn independent(name: &'static str, loss: f64) -> Row {
    let process = Process::Independent { loss };
    Row { name, process }
}

const fn bursts(name: &'static str, mean: f64, share: f64) -> Row {
    let process = Process::Bursts { mean, share };
    Row { name, process }
}
