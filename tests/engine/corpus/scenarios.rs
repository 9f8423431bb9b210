//! The lab's scenarios, without the kernel and the clients.

use super::cases::Act::{
    Flows, Link as Attach, Moved, Order, Reload, Remembered, Restart, Sleep, Traffic,
    Wire as Behind,
};
use super::cases::Order::{Auto, Disable, Drain, Enable, Pin, Switch};
use super::cases::{
    BACKUP, Case, FIBER, LTE, Link, Policy, Reply, Setup, TARGETS, Trouble, Wire, balanced, case,
    dead, dual, losing, setup, well,
};

/// Times in seconds.
#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn lab() -> Vec<Case> {
    let trouble = |trouble| Link::of(trouble);
    let flap = |from: f64, every: f64, times: u16| {
        (0..times).flat_map(move |turn| {
            let at = from + 2.0 * every * f64::from(turn);
            [
                (at, Behind(FIBER, dead())),
                (at + every, Behind(FIBER, well())),
            ]
        })
    };
    let cold = |times| Setup {
        cold: Some((LTE, times)),
        ..setup(2)
    };
    let cut = |name: &str, setup: Setup| {
        let script = vec![(5.0, Behind(FIBER, dead())), (25.0, Behind(FIBER, well()))];
        case(name, setup, 60.0, script)
    };
    let asleep = (0.1, Attach(LTE, Link::absent()));
    vec![
        case(
            "lab-tour",
            setup(3),
            90.0,
            vec![
                (5.0, Behind(FIBER, dead())),
                (12.0, Behind(FIBER, well())),
                (35.0, Attach(FIBER, trouble(Trouble::NoCarrier))),
                (40.0, Behind(LTE, dead())),
                (46.0, Behind(BACKUP, dead())),
                (55.0, Attach(FIBER, Link::up())),
                (55.0, Behind(LTE, well())),
                (55.0, Behind(BACKUP, well())),
                (80.0, Behind(FIBER, losing(50))),
            ],
        ),
        cut("lab-blackhole", setup(2)),
        cut(
            "lab-main-mode",
            Setup {
                is_main_mode: true,
                ..dual(2)
            },
        ),
        cut(
            "lab-failback-manual",
            Setup {
                is_failback_manual: true,
                ..setup(2)
            },
        ),
        cut(
            "lab-quorum",
            Setup {
                quorum: 2,
                ..setup(2)
            },
        ),
        cut(
            "lab-one-target",
            Setup {
                targets: TARGETS[..1].to_vec(),
                ..setup(2)
            },
        ),
        cut(
            "lab-warm",
            Setup {
                warm: Some(LTE),
                ..setup(2)
            },
        ),
        cut(
            "lab-metered",
            Setup {
                metered: Some((LTE, 1_000)),
                ..setup(2)
            },
        ),
        cut(
            "lab-group",
            Setup {
                group: Some((Policy::Failover, vec![LTE, BACKUP])),
                ..setup(3)
            },
        ),
        case(
            "lab-blackhole-under-traffic",
            setup(2),
            40.0,
            vec![
                (1.0, Traffic(FIBER, 50)),
                (12.3, Behind(FIBER, dead())),
                (13.0, Traffic(LTE, 50)),
                (18.0, Behind(FIBER, well())),
            ],
        ),
        case(
            "lab-keeps-dying",
            setup(2),
            150.0,
            (0..5_u16)
                .flat_map(|turn| {
                    let at = 10.0 + 28.0 * f64::from(turn);
                    [
                        (at, Behind(FIBER, dead())),
                        (at + 4.0, Behind(FIBER, well())),
                    ]
                })
                .collect(),
        ),
        case(
            "lab-carrier",
            dual(3),
            40.0,
            vec![
                (5.0, Attach(FIBER, trouble(Trouble::NoCarrier))),
                (10.0, Attach(FIBER, Link::dual())),
                (30.0, Attach(FIBER, trouble(Trouble::NoAddress))),
                (31.0, Attach(LTE, trouble(Trouble::NoNextHop))),
                (33.0, Attach(BACKUP, trouble(Trouble::Down))),
            ],
        ),
        case(
            "lab-loss-30",
            setup(2),
            60.0,
            vec![
                (8.0, Behind(FIBER, losing(300))),
                (40.0, Behind(FIBER, well())),
            ],
        ),
        case(
            "lab-lossy-5",
            setup(2),
            60.0,
            vec![
                (0.0, Behind(FIBER, losing(50))),
                (0.0, Behind(LTE, losing(50))),
            ],
        ),
        case(
            "lab-latency-x60",
            setup(2),
            90.0,
            vec![
                (
                    8.0,
                    Behind(
                        FIBER,
                        Wire {
                            rtt: 600_000,
                            ..well()
                        },
                    ),
                ),
                (50.0, Behind(FIBER, well())),
            ],
        ),
        case(
            "lab-jitter",
            setup(2),
            60.0,
            vec![(
                8.0,
                Behind(
                    FIBER,
                    Wire {
                        jitter: 400_000,
                        ..well()
                    },
                ),
            )],
        ),
        case(
            "lab-flap",
            Setup {
                failback_after: 2,
                damping: Some((60, 60)),
                ..setup(2)
            },
            240.0,
            flap(5.0, 8.0, 6).collect(),
        ),
        case(
            "lab-all-down",
            setup(3),
            40.0,
            vec![
                (8.0, Behind(FIBER, dead())),
                (8.0, Behind(LTE, dead())),
                (8.2, Behind(BACKUP, dead())),
                (25.0, Behind(LTE, well())),
            ],
        ),
        case(
            "lab-target-filtered",
            setup(3),
            60.0,
            [FIBER, LTE, BACKUP]
                .into_iter()
                .map(|uplink| {
                    (
                        6.0,
                        Behind(
                            uplink,
                            Wire {
                                deaf_to: Some(0),
                                ..well()
                            },
                        ),
                    )
                })
                .chain([(40.0, Behind(LTE, well())), (41.0, Behind(FIBER, well()))])
                .collect(),
        ),
        case(
            "lab-target-filtered-on-one",
            Setup {
                quorum: 3,
                ..setup(2)
            },
            40.0,
            vec![(
                6.0,
                Behind(
                    FIBER,
                    Wire {
                        deaf_to: Some(1),
                        ..well()
                    },
                ),
            )],
        ),
        case(
            "lab-landing-page",
            setup(2),
            60.0,
            vec![
                (
                    6.0,
                    Behind(
                        FIBER,
                        Wire {
                            reply: Reply::Captive,
                            ..well()
                        },
                    ),
                ),
                (20.0, Behind(FIBER, well())),
                (
                    40.0,
                    Behind(
                        FIBER,
                        Wire {
                            reply: Reply::Wrong,
                            ..well()
                        },
                    ),
                ),
                (
                    50.0,
                    Behind(
                        FIBER,
                        Wire {
                            reply: Reply::Unreachable,
                            ..well()
                        },
                    ),
                ),
            ],
        ),
        case(
            "lab-not-sent",
            setup(2),
            25.0,
            vec![
                (
                    6.0,
                    Behind(
                        FIBER,
                        Wire {
                            reply: Reply::NotSent,
                            ..well()
                        },
                    ),
                ),
                (
                    6.0,
                    Behind(
                        LTE,
                        Wire {
                            reply: Reply::NotSent,
                            ..well()
                        },
                    ),
                ),
                (15.0, Behind(LTE, well())),
            ],
        ),
        case(
            "lab-families",
            dual(3),
            60.0,
            vec![
                (
                    6.0,
                    Behind(
                        FIBER,
                        Wire {
                            loss: [0, 1_000],
                            ..well()
                        },
                    ),
                ),
                (20.0, Attach(LTE, Link::up())),
                (
                    30.0,
                    Behind(
                        FIBER,
                        Wire {
                            loss: [1_000, 0],
                            ..well()
                        },
                    ),
                ),
                (45.0, Behind(FIBER, well())),
            ],
        ),
        case(
            "lab-prefixes",
            dual(2),
            40.0,
            vec![
                (
                    0.0,
                    Attach(
                        FIBER,
                        Link {
                            has_prefix: true,
                            ..Link::dual()
                        },
                    ),
                ),
                (
                    0.0,
                    Attach(
                        LTE,
                        Link {
                            has_prefix: true,
                            ..Link::dual()
                        },
                    ),
                ),
                (8.0, Behind(FIBER, dead())),
                (15.0, Behind(FIBER, well())),
            ],
        ),
        case(
            "lab-balance",
            balanced(),
            80.0,
            vec![
                (6.0, Behind(LTE, dead())),
                (15.0, Behind(LTE, well())),
                (
                    40.0,
                    Behind(
                        FIBER,
                        Wire {
                            loss: [0, 1_000],
                            ..well()
                        },
                    ),
                ),
                (50.0, Attach(BACKUP, trouble(Trouble::NoCarrier))),
                (55.0, Order(Switch(LTE))),
                (60.0, Restart),
                (62.0, Attach(FIBER, Link::dual())),
                (62.0, Attach(LTE, Link::dual())),
                (62.0, Attach(BACKUP, Link::dual())),
                (66.0, Order(Auto)),
            ],
        ),
        case(
            "lab-best",
            Setup {
                policy: Policy::Best,
                is_flat: true,
                best: (5, 20),
                ..setup(3)
            },
            90.0,
            vec![
                (
                    5.0,
                    Behind(
                        FIBER,
                        Wire {
                            rtt: 250_000,
                            ..well()
                        },
                    ),
                ),
                (45.0, Behind(LTE, losing(30))),
            ],
        ),
        case(
            "lab-standby-dead",
            setup(2),
            30.0,
            vec![
                (4.0, Behind(LTE, dead())),
                (12.0, Behind(FIBER, dead())),
                (20.0, Behind(LTE, well())),
            ],
        ),
        case(
            "lab-cold-standby",
            cold([5, 60, 0]),
            90.0,
            vec![
                asleep.clone(),
                (8.0, Behind(FIBER, dead())),
                (20.0, Behind(FIBER, well())),
                (60.0, Order(Switch(LTE))),
                (70.0, Order(Auto)),
            ],
        ),
        Case {
            dials_for: None,
            ..case(
                "lab-standby-unready",
                cold([5, 6, 30]),
                80.0,
                vec![asleep.clone()],
            )
        },
        case("lab-exercise", cold([2, 20, 30]), 80.0, vec![asleep]),
        case(
            "lab-commands",
            Setup {
                group: Some((Policy::Best, vec![LTE, BACKUP])),
                ..setup(3)
            },
            110.0,
            vec![
                (5.0, Order(Switch(LTE))),
                (10.0, Order(Disable(FIBER))),
                (12.0, Order(Disable(BACKUP))),
                (14.0, Order(Disable(LTE))),
                (16.0, Order(Enable(FIBER))),
                (20.0, Order(Auto)),
                (40.0, Order(Pin(BACKUP))),
                (42.0, Order(Enable(BACKUP))),
                (45.0, Order(Pin(BACKUP))),
                (50.0, Behind(BACKUP, dead())),
                (58.0, Order(Disable(BACKUP))),
                (65.0, Behind(BACKUP, well())),
                (75.0, Restart),
                (75.2, Attach(FIBER, Link::up())),
                (75.2, Attach(LTE, Link::up())),
                (75.2, Attach(BACKUP, Link::up())),
                (85.0, Order(Switch(LTE))),
                (90.0, Behind(LTE, dead())),
            ],
        ),
        case(
            "lab-restart",
            dual(2),
            60.0,
            vec![
                (5.0, Behind(FIBER, dead())),
                (20.0, Restart),
                (20.3, Attach(FIBER, Link::dual())),
                (20.3, Attach(LTE, Link::dual())),
                (26.0, Behind(FIBER, well())),
                (50.0, Order(Disable(LTE))),
                (52.0, Restart),
                (52.1, Attach(FIBER, Link::dual())),
                (52.1, Attach(LTE, Link::dual())),
            ],
        ),
        case(
            "lab-restart-of-groups",
            Setup {
                group: Some((Policy::Balance, vec![LTE, BACKUP])),
                metered: Some((BACKUP, 1_000)),
                ..setup(3)
            },
            60.0,
            vec![
                (10.0, Behind(LTE, dead())),
                (18.0, Restart),
                (18.1, Attach(FIBER, Link::up())),
                (18.1, Attach(LTE, Link::up())),
                (18.1, Attach(BACKUP, Link::up())),
                (30.0, Behind(BACKUP, dead())),
                (45.0, Behind(LTE, well())),
            ],
        ),
        case(
            "lab-reload",
            setup(3),
            60.0,
            vec![
                (5.0, Behind(FIBER, dead())),
                (
                    12.0,
                    Reload(Box::new(Setup {
                        policy: Policy::Balance,
                        is_flat: true,
                        ..setup(3)
                    })),
                ),
                (20.0, Behind(FIBER, well())),
                (25.0, Reload(Box::new(setup(1)))),
                (
                    30.0,
                    Reload(Box::new(Setup {
                        group: Some((Policy::Best, vec![LTE])),
                        ..dual(2)
                    })),
                ),
                (30.1, Attach(LTE, Link::dual())),
                (
                    40.0,
                    Reload(Box::new(Setup {
                        is_main_mode: true,
                        ..setup(2)
                    })),
                ),
            ],
        ),
        case(
            "lab-addresses",
            dual(2),
            40.0,
            vec![
                (
                    6.0,
                    Attach(
                        FIBER,
                        Link {
                            address: 3,
                            ..Link::dual()
                        },
                    ),
                ),
                (
                    12.0,
                    Attach(
                        FIBER,
                        Link {
                            address: 3,
                            ..Link::up()
                        },
                    ),
                ),
                (20.0, Moved(LTE, "wwan0")),
                (
                    25.0,
                    Attach(
                        LTE,
                        Link {
                            address: 2,
                            ..Link::dual()
                        },
                    ),
                ),
            ],
        ),
        case(
            "lab-drain",
            setup(2),
            40.0,
            vec![
                (4.0, Remembered(&[FIBER, LTE])),
                (5.0, Order(Drain(FIBER))),
                (5.2, Flows(FIBER, 3)),
                (12.0, Flows(FIBER, 1)),
                (16.0, Attach(FIBER, trouble(Trouble::NoCarrier))),
                (20.0, Attach(FIBER, Link::up())),
                (25.0, Order(Enable(FIBER))),
                (30.0, Order(Drain(LTE))),
                (30.2, Flows(LTE, 0)),
            ],
        ),
        case(
            "lab-asleep",
            setup(2),
            50.0,
            vec![
                (8.0, Sleep(7_000)),
                (20.0, Behind(FIBER, dead())),
                (20.1, Sleep(9_000)),
            ],
        ),
    ]
}
