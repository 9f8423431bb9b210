//! The links that are tried.

use crate::link::{Kind, Lasts, Mixture, Process, Slots};

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

/// Links with an outage a day, as the felt cost is measured on them. The first eight are the objective's own.
pub(crate) const FELT_ROWS: [Row; 14] = [
    mixed(
        "an outage a day",
        &Mixture {
            kinds: &[SHORT],
            ..CLEAN
        },
    ),
    mixed(
        "fails 3-6 s, 10 a day",
        &Mixture {
            kinds: &[SHORT, kind(8_640.0, Lasts::Between(3.0, 6.0))],
            ..CLEAN
        },
    ),
    mixed(
        "fails 3-6 s, 24 a day",
        &Mixture {
            kinds: &[SHORT, kind(3_600.0, Lasts::Between(3.0, 6.0))],
            ..CLEAN
        },
    ),
    LTE,
    STARLINK,
    mixed(
        "150 ms, 2 %",
        &Mixture {
            kinds: &[exponential(0.15, 0.02)],
            ..CLEAN
        },
    ),
    mixed(
        "600 ms, 2.8 %",
        &Mixture {
            kinds: &[exponential(0.6, 0.028)],
            ..CLEAN
        },
    ),
    BURSTY,
    mixed("loses 0 %", &CLEAN),
    mixed(
        "loses 1 %",
        &Mixture {
            loss: [0.01; 2],
            ..CLEAN
        },
    ),
    mixed(
        "loses 5 %",
        &Mixture {
            loss: [0.05; 2],
            ..CLEAN
        },
    ),
    mixed(
        "loses 20 %",
        &Mixture {
            loss: [0.2; 2],
            ..CLEAN
        },
    ),
    DSL,
    CABLE,
];

/// A moving LTE terminal: a handover twice a minute, one in a hundred of which fails.
pub(crate) const LTE: Row = mixed(
    "LTE, 1 % of 4 s",
    &Mixture {
        kinds: &[
            kind(30.3, Lasts::Between(0.15, 0.45)),
            kind(3_000.0, Lasts::Between(3.0, 5.0)),
        ],
        ..CLEAN
    },
);

/// Another satellite at :12, :27, :42 and :57, by a clock that is 20 ppm slow.
pub(crate) const STARLINK: Row = mixed(
    "Starlink, 2 % of 2 s",
    &Mixture {
        slots: Some(Slots {
            every: 15.000_3,
            first: 12.0,
            lasts: Lasts::Between(0.05, 0.3),
            fails: (0.02, Lasts::Between(1.5, 2.5)),
        }),
        ..CLEAN
    },
);

pub(crate) const BURSTY: Row = mixed(
    "2 s, 1.6 %",
    &Mixture {
        kinds: &[exponential(2.0, 0.016)],
        ..CLEAN
    },
);

/// Impulses on the wire, and three retrains a day.
pub(crate) const DSL: Row = mixed(
    "DSL with retrains",
    &Mixture {
        loss: [0.001; 2],
        kinds: &[
            kind(600.0, Lasts::Between(0.02, 0.2)),
            kind(28_800.0, Lasts::Between(25.0, 60.0)),
        ],
        ..CLEAN
    },
);

/// Noise on the way upstream: losses that grow in the evening, and lost ranging.
pub(crate) const CABLE: Row = mixed(
    "cable with noise",
    &Mixture {
        loss: [0.002, 0.06],
        kinds: &[
            kind(120.0, Lasts::Exponential(0.3)),
            kind(7_200.0, Lasts::Between(8.0, 30.0)),
        ],
        ..CLEAN
    },
);

const CLEAN: Mixture = Mixture {
    loss: [0.0; 2],
    kinds: &[],
    slots: None,
};

/// A link resends, or reorders, for a moment.
const SHORT: Kind = kind(50.0, Lasts::Exponential(0.05));

const fn kind(every: f64, lasts: Lasts) -> Kind {
    Kind { every, lasts }
}

/// Bursts of this mean length that take this share of the time.
const fn exponential(mean: f64, share: f64) -> Kind {
    kind(mean / share, Lasts::Exponential(mean))
}

const fn mixed(name: &'static str, mixture: &'static Mixture) -> Row {
    Row {
        name,
        process: Process::Mixed(mixture),
    }
}
