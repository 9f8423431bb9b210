//! A lane does what it is set to do, in virtual time.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts in these tests are far below 2^52"
)]

use proptest::prelude::*;

use super::*;
use crate::cases::cases;

const FRAME: [u8; 100] = [0; 100];

fn lane(impairment: Impairment) -> WireLane {
    let mut lane = WireLane::new(Chance::from_seed(7));
    lane.set(impairment);
    lane
}

fn at(milliseconds: u64) -> Moment {
    Moment::after_start(Duration::from_millis(milliseconds))
}

/// The fates of `count` frames, one every `pace`.
fn fates(lane: &mut WireLane, count: u32, pace: Duration) -> Vec<(Moment, FrameOutcome)> {
    (0..count)
        .map(|n| Moment::START + pace * n)
        .map(|now| (now, lane.handle_frame(now, &FRAME)))
        .collect()
}

fn share(fates: &[(Moment, FrameOutcome)], of: impl Fn(&FrameOutcome) -> bool) -> f64 {
    let hits = fates.iter().filter(|(_, fate)| of(fate)).count();
    hits as f64 / fates.len() as f64
}

fn is_lost(fate: &FrameOutcome) -> bool {
    matches!(fate, FrameOutcome::Lost)
}

#[test]
fn a_perfect_wire_delivers_each_frame_once_and_at_once() {
    let fates = fates(
        &mut lane(Impairment::default()),
        100,
        Duration::from_millis(1),
    );
    for (now, fate) in fates {
        assert_eq!(
            fate,
            FrameOutcome::Arrives {
                at: now,
                twice: false
            }
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_weather() {
    let impairment = Impairment {
        loss: Loss::from_ratio(0.3),
        jitter: Duration::from_millis(9),
        ..Impairment::default()
    };
    let run = || fates(&mut lane(impairment), 1000, Duration::from_millis(1));
    assert_eq!(run(), run());
}

#[test]
fn one_setting_does_not_shift_the_losses_of_another() {
    let calm = Impairment {
        loss: Loss::from_ratio(0.3),
        ..Impairment::default()
    };
    let delayed = Impairment {
        delay: Duration::from_millis(50),
        ..calm
    };
    let lost = |impairment| {
        fates(&mut lane(impairment), 1000, Duration::from_millis(1))
            .iter()
            .map(|(_, fate)| is_lost(fate))
            .collect::<Vec<_>>()
    };
    assert_eq!(lost(calm), lost(delayed));
}

#[test]
fn bursts_have_the_share_of_time_and_the_mean_length_asked_for() {
    let mean = Duration::from_millis(150);
    let wanted = 0.02;
    let bursts = Bursts {
        mean,
        share: Loss::from_ratio(wanted),
        loss: Loss::from_ratio(1.0),
    };
    let impairment = Impairment {
        bursts: Some(bursts),
        ..Impairment::default()
    };
    let pace = Duration::from_millis(1);
    let fates = fates(&mut lane(impairment), 4_000_000, pace);
    let lost = share(&fates, is_lost);
    assert!(
        (lost - wanted).abs() < 0.003,
        "share of time in bursts: {lost}"
    );
    let begun = fates
        .windows(2)
        .filter(|pair| !is_lost(&pair[0].1) && is_lost(&pair[1].1))
        .count();
    let length = lost * fates.len() as f64 * pace.as_secs_f64() / begun as f64;
    assert!(
        (length / mean.as_secs_f64() - 1.0).abs() < 0.15,
        "mean burst: {length} s"
    );
}

#[test]
fn bursts_last_as_long_for_a_probe_a_second_as_for_a_download() {
    let bursts = Bursts {
        mean: Duration::from_secs(2),
        share: Loss::from_ratio(0.1),
        loss: Loss::from_ratio(1.0),
    };
    let impairment = Impairment {
        bursts: Some(bursts),
        ..Impairment::default()
    };
    for pace in [Duration::from_millis(5), Duration::from_secs(1)] {
        let lost = share(&fates(&mut lane(impairment), 200_000, pace), is_lost);
        assert!(
            (lost - 0.1).abs() < 0.03,
            "{lost} lost at one frame per {pace:?}"
        );
    }
}

#[test]
fn a_bottleneck_spaces_frames_and_drops_what_its_queue_cannot_hold() {
    let impairment = Impairment {
        rate: Some(Rate {
            bits_per_second: 100_000,
            queue: Duration::from_millis(20),
        }),
        ..Impairment::default()
    };
    let mut lane = lane(impairment);
    let burst: Vec<_> = (0..5).map(|_| lane.handle_frame(at(0), &FRAME)).collect();
    let arrives = |milliseconds| FrameOutcome::Arrives {
        at: at(milliseconds),
        twice: false,
    };
    let expected = [
        arrives(8),
        arrives(16),
        arrives(24),
        FrameOutcome::Lost,
        FrameOutcome::Lost,
    ];
    assert_eq!(burst, expected);
    assert_eq!(lane.handle_frame(at(100), &FRAME), arrives(108));
}

#[test]
fn a_filter_hits_one_host_and_leaves_arp_and_others_alone() {
    let host = Ipv4Addr::new(192, 0, 2, 1);
    let impairment = Impairment {
        filter: Some(host),
        ..Impairment::default()
    };
    let mut lane = lane(impairment);
    let mut to_host = FRAME;
    to_host[12..14].copy_from_slice(&[0x08, 0x00]);
    to_host[30..34].copy_from_slice(&host.octets());
    let mut to_other = to_host;
    to_other[33] = 2;
    let mut arp = to_host;
    arp[13] = 0x06;
    assert!(is_lost(&lane.handle_frame(at(0), &to_host)));
    assert!(!is_lost(&lane.handle_frame(at(0), &to_other)));
    assert!(!is_lost(&lane.handle_frame(at(0), &arp)));
    assert!(!is_lost(&lane.handle_frame(at(0), &[0; 8])));
}

#[test]
fn a_blackhole_swallows_everything_until_it_is_mended() {
    let blackhole = Impairment {
        blackhole: true,
        ..Impairment::default()
    };
    let mut lane = lane(blackhole);
    assert!(is_lost(&lane.handle_frame(at(0), &FRAME)));
    lane.set(Impairment::default());
    assert!(!is_lost(&lane.handle_frame(at(1), &FRAME)));
}

#[test]
fn what_is_without_a_family_lets_the_other_one_through() {
    let mut ipv6 = FRAME;
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let mut lane = lane(Impairment {
        without: Some(LabFamily::Ipv6),
        ..Impairment::default()
    });
    assert!(is_lost(&lane.handle_frame(at(0), &ipv6)));
    assert!(!is_lost(&lane.handle_frame(at(1), &FRAME)));
}

fn any_impairment() -> impl Strategy<Value = Impairment> {
    let span = || (0_u64..50).prop_map(Duration::from_millis);
    let part = || (0.0..=1.0).prop_map(Loss::from_ratio);
    let bursts = (span(), 0.0..0.99, part()).prop_map(|(mean, share, loss)| Bursts {
        mean,
        share: Loss::from_ratio(share),
        loss,
    });
    let rate = (0_u64..10_000_000, span()).prop_map(|(bits_per_second, queue)| Rate {
        bits_per_second,
        queue,
    });
    let losses = (
        part(),
        proptest::option::of(bursts),
        proptest::option::of(rate),
    );
    (span(), span(), losses, part(), part()).prop_map(
        |(delay, jitter, (loss, bursts, rate), duplicate, reorder)| Impairment {
            delay,
            jitter,
            loss,
            bursts,
            rate,
            duplicate,
            reorder,
            blackhole: false,
            without: None,
            filter: None,
        },
    )
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_frame_arrives_before_it_was_sent_and_only_reordering_lets_one_overtake(
        impairment in any_impairment(), seed: u64,
    ) {
        let mut lane = WireLane::new(Chance::from_seed(seed));
        lane.set(impairment);
        let mut last = Moment::START;
        for (now, fate) in fates(&mut lane, 200, Duration::from_micros(700)) {
            let FrameOutcome::Arrives { at, .. } = fate else { continue };
            let keeps_order = at >= last || impairment.reorder > Loss::NONE;
            prop_assert!(at >= now);
            prop_assert!(keeps_order);
            last = last.max(at);
        }
    }

    #[test]
    fn loss_duplication_and_reordering_happen_as_often_as_asked(
        loss in 0.0..=1.0, duplicate in 0.0..=1.0, reorder in 0.0..=1.0, seed: u64,
    ) {
        let impairment = Impairment {
            delay: Duration::from_millis(10),
            loss: Loss::from_ratio(loss),
            duplicate: Loss::from_ratio(duplicate),
            reorder: Loss::from_ratio(reorder),
            ..Impairment::default()
        };
        let mut lane = WireLane::new(Chance::from_seed(seed));
        lane.set(impairment);
        let fates = fates(&mut lane, 20_000, Duration::from_millis(20));
        // Five standard deviations at 20,000 frames are below 0.018.
        let lost = share(&fates, is_lost);
        prop_assert!((lost - loss).abs() < 0.018);
        let twice = share(&fates, |fate| matches!(fate, FrameOutcome::Arrives { twice: true, .. }));
        prop_assert!((twice - (1.0 - loss) * duplicate).abs() < 0.018);
        let early = fates.iter().filter(|(now, fate)| matches!(fate, FrameOutcome::Arrives { at, .. } if at == now));
        let early = early.count() as f64 / fates.len() as f64;
        prop_assert!((early - (1.0 - loss) * reorder).abs() < 0.018);
    }
}
