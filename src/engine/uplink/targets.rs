//! The targets of an uplink: which are asked by which family, which of them count, and what they
//! measure together.

use std::time::Duration;

use super::places::Places;
use crate::engine::deadline::RoundTrip;
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::suspicion::Observation;
use crate::engine::target::{Standing, TargetTrack};
use crate::engine::window::{Window, loss_of};
use crate::routing::{Family, Path};
use crate::units::sorted::SortedMap;
use crate::units::{Loss, Moment, Target};

/// The targets of one uplink, by their places in its settings.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    tracks: Vec<TargetTrack>,
    /// How many answers a round takes.
    quorum: usize,
    /// The targets by the family by which they are asked, and whether that has a next hop.
    asked_by: [Places; Family::ROUTED.len()],
    has_way: [bool; Family::ROUTED.len()],
    neighbours: [NeighbourCache; Family::ROUTED.len()],
    /// Of the next hop that answered last and is not in use.
    elsewhere: [Option<Box<KnownRoundTrips>>; Family::ROUTED.len()],
}

/// How long answers take by a next hop that was left, target by target. One that comes back is judged by them.
#[derive(Clone, Debug)]
struct KnownRoundTrips {
    path: Path,
    left: Moment,
    of_targets: Vec<RoundTrip>,
}

/// They say something for so long.
const ROUND_TRIPS_KEPT_FOR: Duration = Duration::from_secs(60);

/// Whether the kernel knows the link-layer address of a next hop, as far as answers show it: what is sent before it
/// does waits for ARP or neighbour discovery.
#[derive(Clone, Copy, Debug, Default)]
struct NeighbourCache {
    /// The first answer after a silence came then.
    resolved: Option<Moment>,
    /// The last answer came then.
    used: Option<Moment>,
}

/// The kernel may drop an entry that was not used for so long (`gc_stale_time`, arp(7)).
const NEIGHBOUR_KEPT_FOR: Duration = Duration::from_secs(60);

impl NeighbourCache {
    /// Takes an answer; whether its probe waited for no resolution.
    fn answered(&mut self, sent: Moment, rtt: Duration) -> bool {
        let came = sent + rtt;
        let is_kept = |used| sent.since(used) < NEIGHBOUR_KEPT_FOR;
        if !self.used.is_some_and(is_kept) {
            self.resolved = Some(came);
        }
        self.used = self.used.max(Some(came));
        self.resolved.is_some_and(|resolved| sent >= resolved)
    }

    /// There was an outage until `since`: the first answer after it is that after a silence.
    fn interrupted(&mut self, since: Moment) {
        self.used = self.used.filter(|used| *used >= since);
        self.resolved = self.used;
    }
}

impl Targets {
    /// Targets of which nothing is known.
    pub(super) fn new(targets: &[Target], quorum: usize, window: Duration) -> Self {
        let tracks = targets.iter().cloned();
        let mut new = Self {
            tracks: tracks
                .map(|target| TargetTrack::new(target, window))
                .collect(),
            quorum,
            asked_by: Default::default(),
            has_way: [false; Family::ROUTED.len()],
            neighbours: Default::default(),
            elsewhere: Default::default(),
        };
        new.sort(&SortedMap::new());
        new
    }

    /// Takes changed settings; what was measured stays for targets that do.
    pub(super) fn adapt(&mut self, targets: &[Target], quorum: usize, window: Duration) {
        let mut old = std::mem::take(&mut self.tracks);
        self.elsewhere = Default::default();
        self.quorum = quorum;
        for target in targets {
            let kept = old.iter().position(|old| old.target() == target);
            let mut track = match kept {
                Some(place) => old.swap_remove(place),
                None => TargetTrack::new(target.clone(), window),
            };
            track.set_window(window);
            self.tracks.push(track);
        }
    }

    /// The next hops or the targets are others now. A name is resolved to an IPv4 address if it has
    /// one.
    pub(super) fn sort(&mut self, paths: &SortedMap<Family, Path>) {
        let names_by = if paths.is_empty() || paths.contains_key(&Family::Ipv4) {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        self.has_way = Family::ROUTED.map(|family| paths.contains_key(&family));
        self.asked_by = Family::ROUTED.map(|family| {
            let is_asked_by = |place: &usize| {
                let address = self.tracks[*place].target().address();
                address.map_or(names_by, Family::of) == family
            };
            (0..self.tracks.len()).filter(is_asked_by).collect()
        });
    }

    pub(super) fn len(&self) -> usize {
        self.tracks.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, TargetTrack> {
        self.tracks.iter()
    }

    pub(super) fn at(&self, place: usize) -> &TargetTrack {
        &self.tracks[place]
    }

    pub(super) fn at_mut(&mut self, place: usize) -> &mut TargetTrack {
        &mut self.tracks[place]
    }

    /// The place of a target.
    pub(super) fn find(&self, target: &Target) -> Option<usize> {
        self.iter().position(|track| track.target() == target)
    }

    /// The family by which a target is asked.
    pub(super) fn family_of(&self, place: usize) -> Family {
        if self.asked_by(Family::Ipv6).contains(place) {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }

    /// Some target can be asked by a family.
    pub(super) fn can_ask(&self, family: Family) -> bool {
        self.has_way[family as usize] && !self.asked_by(family).is_empty()
    }

    /// The only family that has a way out, if no target is asked by it.
    pub(super) fn way_without_target(&self) -> Option<Family> {
        let mut families = Family::ROUTED.into_iter();
        let family = families.find(|family| self.has_way[*family as usize])?;
        let is_any_asked = Family::ROUTED.into_iter().any(|of| self.can_ask(of));
        (!is_any_asked).then_some(family)
    }

    /// The targets that are asked by a family.
    pub(super) fn asked_by(&self, family: Family) -> Places {
        self.asked_by[family as usize]
    }

    /// The targets that can be asked, family by family; those of some are left out.
    pub(super) fn askable(
        &self,
        is_left_out: impl Fn(Family) -> bool,
    ) -> [Places; Family::ROUTED.len()] {
        let mut groups = Family::ROUTED.map(|family| {
            if self.has_way[family as usize] && !is_left_out(family) {
                self.standing_of(family)
            } else {
                Places::default()
            }
        });
        if groups.iter().all(|group| group.is_empty()) {
            groups[0] = (0..self.tracks.len()).collect();
        }
        groups
    }

    /// The targets of a family that count; all of them where too few do.
    pub(super) fn standing_of(&self, family: Family) -> Places {
        let of_family = self.asked_by(family);
        let standing = of_family
            .iter()
            .filter(|place| self.at(*place).is_standing());
        let standing: Places = standing.collect();
        if standing.len() < self.quorum_of(family) {
            return of_family;
        }
        standing
    }

    /// How many targets of a family must answer: those that are at fault themselves do not count.
    fn quorum_of(&self, family: Family) -> usize {
        let of_family = self.asked_by(family).iter();
        let able = of_family.filter(|place| !self.at(*place).is_excused());
        self.quorum.min(able.count()).max(1)
    }

    /// More targets of the family count than it takes.
    pub(super) fn may_set_aside(&self, family: Family) -> bool {
        let of_family = self.asked_by(family).iter();
        let standing = of_family.filter(|place| self.at(*place).is_standing());
        standing.count() > self.quorum_of(family)
    }

    /// Only targets that are at fault themselves are left to ask by this family: any answer shows that
    /// the link works.
    pub(super) fn takes_any_answer(&self, family: Family) -> bool {
        let mut of_family = self.asked_by(family).iter();
        of_family.all(|place| self.at(place).is_excused())
    }

    /// A round whose answers were wrong is as good as one that was answered.
    pub(super) fn take_any_answer(&self, round: &Round) -> bool {
        let is_wrong = |family: Family| round.judge_family(family) == RoundResult::Wrong;
        let mut families = Family::ROUTED.into_iter();
        families.any(|family| is_wrong(family) && self.takes_any_answer(family))
    }

    /// The targets of a round that are set aside for what they alone did not answer. What all targets
    /// of a family share is no target's fault, nor is what a full queue (`overflows`) loses.
    pub(super) fn blame(
        &mut self,
        round: &Round,
        overflows: bool,
        usual_loss: impl Fn() -> f64,
        now: Moment,
    ) -> Vec<(usize, Standing)> {
        let is_right_page = |probe: &RoundProbe| {
            self.at(probe.target).is_page() && matches!(probe.fate, Fate::Answered(_))
        };
        let has_right_page = round.probes.iter().any(is_right_page);
        let mut changed = Vec::new();
        for probe in &round.probes {
            let is_alone = match probe.fate {
                Fate::Missed => !overflows && round.has_answer_of(probe.family),
                Fate::Wrong => has_right_page,
                Fate::Pending | Fate::Answered(_) | Fate::Void => false,
            };
            if is_alone {
                let may_set_aside = self.may_set_aside(probe.family);
                let track = self.at_mut(probe.target);
                let standing = track.missed_alone(now, round.sent, usual_loss(), may_set_aside);
                changed.extend(standing.map(|standing| (probe.target, standing)));
            }
        }
        changed
    }

    /// Those that were set aside, are due to be asked again, and are not asked anyway.
    pub(super) fn take_retries(&mut self, asked: Places, now: Moment) -> Places {
        let places = 0..self.tracks.len();
        places
            .filter(|place| !asked.contains(*place) && self.tracks[*place].take_retry(now))
            .collect()
    }

    /// Some target answered something that was asked from `since` on.
    pub(super) fn has_spoken_since(&self, since: Moment) -> bool {
        self.iter().any(|track| track.has_spoken_since(since))
    }

    /// What is known of a target by probes sent from `since` on, by an uplink that `is_down` or is not.
    pub(super) fn observation(
        &self,
        target: &Target,
        since: Moment,
        is_down: bool,
    ) -> Option<Observation> {
        let track = self.at(self.find(target)?);
        let lives = self.has_spoken_since(since);
        match track.observation(since) {
            seen @ (Observation::Answers | Observation::Wrong) => Some(seen),
            Observation::Silent if lives => Some(Observation::Silent),
            Observation::Silent | Observation::Open => {
                let is_dead = is_down && !lives;
                (!is_dead).then_some(Observation::Open)
            }
        }
    }

    /// Those that count and have not answered what was sent from `since` on.
    pub(super) fn silent_since(&self, since: Moment) -> impl Iterator<Item = &Target> {
        let standing = self.iter().filter(|track| track.is_standing());
        standing
            .filter(move |track| track.observation(since) != Observation::Answers)
            .map(TargetTrack::target)
    }

    /// A target answered.
    pub(super) fn answered(
        &mut self,
        probe: RoundProbe,
        sent: Moment,
        rtt: Duration,
    ) -> Option<Standing> {
        let is_steady = self.neighbours[probe.family as usize].answered(sent, rtt);
        self.tracks[probe.target].answered(probe.id, sent, rtt, is_steady)
    }

    /// The uplink answers again, first what was asked at `since`: its figures begin there.
    pub(super) fn begin(&mut self, since: Moment) {
        for family in Family::ROUTED {
            self.begin_family(family, since);
        }
    }

    /// A family of it does.
    pub(super) fn begin_family(&mut self, family: Family, since: Moment) {
        self.neighbours[family as usize].interrupted(since);
        for place in self.asked_by(family).iter() {
            self.tracks[place].begin(since);
        }
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Moment) {
        self.tracks.iter_mut().for_each(|track| track.expire(now));
    }

    /// Those that are asked by this family are asked by another way now, where there was one before and is one now.
    pub(super) fn restart(
        &mut self,
        family: Family,
        [before, path]: [Option<Path>; 2],
        now: Moment,
    ) {
        self.neighbours[family as usize] = NeighbourCache::default();
        let asked = self.asked_by(family);
        let tracks = asked.iter().map(|place| &self.tracks[place]);
        let of_targets: Vec<_> = tracks.map(TargetTrack::round_trip).collect();
        let has_answered = of_targets.iter().any(|of| of.usual().is_some());
        for place in asked.iter() {
            self.tracks[place].restart();
        }
        if Path::is_same_way(before.as_ref(), path.as_ref()) {
            return;
        }
        let is_back = |known: &mut Box<_>| {
            let KnownRoundTrips { path: known, .. } = &**known;
            Path::is_same_way(Some(known), path.as_ref())
        };
        let known = self.elsewhere[family as usize].take_if(is_back);
        if let Some(path) = before.filter(|_| has_answered) {
            let left = now;
            self.elsewhere[family as usize] = Some(Box::new(KnownRoundTrips {
                path,
                left,
                of_targets,
            }));
        }
        let known = known.filter(|known| now.since(known.left) <= ROUND_TRIPS_KEPT_FOR);
        for (place, of) in asked
            .iter()
            .zip(known.iter().flat_map(|known| &known.of_targets))
        {
            self.tracks[place].take_round_trip(*of);
        }
    }

    /// The loss over all that count, without those of a broken family; none while nothing is known.
    pub(super) fn loss(&self, broken: Option<Family>) -> Option<Loss> {
        let broken = broken.map(|family| self.asked_by(family));
        let is_broken = |place| broken.is_some_and(|broken| broken.contains(place));
        let tracks = (0..).zip(&self.tracks);
        let standing = tracks.filter(|(place, track)| track.is_standing() && !is_broken(*place));
        let total = standing.fold((0, 0), |(all, lost), (_, track)| {
            let (sent, missed) = track.window().counts();
            (all + sent, lost + missed)
        });
        loss_of(total)
    }

    /// The link's own latency is in every round trip, the target's only in its own: the least of
    /// the targets' medians is nearest to the link's.
    pub(super) fn rtt(&self) -> Option<Duration> {
        let medians = self.iter().map(TargetTrack::window);
        medians.filter_map(Window::median_rtt).min()
    }

    /// The 95th percentile of the target whose median is that of the uplink.
    pub(super) fn rtt_p95(&self) -> Option<Duration> {
        let windows = self.iter().map(TargetTrack::window);
        let nearest = windows.min_by_key(|window| window.median_rtt().unwrap_or(Duration::MAX))?;
        nearest.p95_rtt()
    }

    pub(super) fn jitter(&self) -> Option<Duration> {
        let windows = self.iter().map(TargetTrack::window);
        windows.filter_map(Window::jitter).min()
    }

    /// What of a round trip to a target is the link's: how much further away than the nearest one a
    /// target usually is says nothing about the link. Those that have not answered since then are not
    /// compared with.
    pub(super) fn rtt_of_link(&self, place: usize, rtt: Duration, since: Moment) -> Duration {
        let standing = self.iter().filter(|track| track.is_standing());
        let lately = standing.filter(|track| track.has_spoken_since(since));
        let nearest = lately.filter_map(TargetTrack::usual_rtt).min();
        match (self.at(place).usual_rtt(), nearest) {
            (Some(usual), Some(nearest)) => {
                let beyond = usual.saturating_sub(nearest);
                rtt.saturating_sub(beyond).max(rtt.min(nearest))
            }
            (_, _) => rtt,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::units::{IfIndex, ProbeId, Weight};

    const WINDOW: Duration = Duration::from_secs(30);

    fn targets(names: &[&str], families: &[Family]) -> Targets {
        let parsed: Vec<_> = names.iter().map(|t| t.parse().expect("a target")).collect();
        let mut targets = Targets::new(&parsed, 1, WINDOW);
        let path = Path {
            index: IfIndex(NonZeroU32::MIN),
            gateway: None,
            onlink: false,
            weight: Weight(1),
            options: None,
        };
        targets.sort(
            &families
                .iter()
                .map(|family| (*family, path.clone()))
                .collect(),
        );
        targets
    }

    fn list(places: Places) -> Vec<usize> {
        places.iter().collect()
    }

    #[test]
    fn each_family_asks_the_targets_of_its_addresses_and_a_broken_one_asks_none() {
        let both = targets(&["192.0.2.1", "2001:db8::1"], &Family::ROUTED);
        assert_eq!(both.askable(|_| false).map(list), [vec![0], vec![1]]);
        assert_eq!(
            both.askable(|of| of == Family::Ipv4).map(list),
            [vec![], vec![1]]
        );
        let none = targets(&["192.0.2.1", "2001:db8::1"], &[]);
        assert_eq!(none.askable(|_| false).map(list), [vec![0, 1], vec![]]);
    }

    #[test]
    fn targets_at_fault_are_left_out_until_too_few_are_left() {
        let mut targets = targets(&["192.0.2.1", "192.0.2.2"], &[Family::Ipv4]);
        targets.at_mut(0).excuse("down".to_owned(), Moment::START);
        assert_eq!(list(targets.standing_of(Family::Ipv4)), [1]);
        assert!(!targets.may_set_aside(Family::Ipv4));
        assert!(!targets.takes_any_answer(Family::Ipv4));
        targets.at_mut(1).excuse("down".to_owned(), Moment::START);
        assert_eq!(list(targets.standing_of(Family::Ipv4)), [0, 1]);
        assert!(targets.takes_any_answer(Family::Ipv4));
    }

    #[test]
    fn a_far_target_adds_nothing_to_the_round_trip_of_the_link() {
        let mut targets = targets(&["192.0.2.1", "192.0.2.2"], &[Family::Ipv4]);
        let [near, far] = [10, 110].map(Duration::from_millis);
        for id in 0..50 {
            targets
                .at_mut(0)
                .answered(ProbeId(id), Moment::START, near, true);
            targets
                .at_mut(1)
                .answered(ProbeId(id + 50), Moment::START, far, true);
        }
        let of_link = targets.rtt_of_link(1, far, Moment::START);
        assert!(
            of_link.abs_diff(near) < Duration::from_millis(2),
            "{of_link:?}"
        );
        assert_eq!(targets.rtt(), Some(near));
    }
}
