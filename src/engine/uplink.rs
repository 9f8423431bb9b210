//! One uplink: its link, its probes, its evidence, and the state that follows from them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::election::Candidate;
use crate::engine::input::{Change, Event, Outcome, ProbeOrder};
use crate::engine::outage::{Demand, Outage, Silence};
use crate::engine::quality::{ClosedRound, Quality, score};
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::schedule::{Breadth, Pace, Spread};
use crate::engine::settings::UplinkSettings;
use crate::engine::status::{State, UplinkStatus};
use crate::engine::target::{Standing, TargetTrack, millis, tenths};
use crate::engine::timer::{Timer, Timers};
use crate::engine::window::{Window, loss_of};
use crate::routing::{Attachment, Trouble};
use crate::units::{Loss, Moment, ProbeId, Wall};

/// The routes that probes take are written before the probes are sent.
const ROUTES_FIRST: Duration = Duration::from_millis(30);

/// Where an uplink puts what it wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Probes to send.
    pub probes: Vec<ProbeOrder>,
    /// What happened.
    pub events: Vec<Event>,
    next_probe: u64,
}

/// One uplink.
#[derive(Clone, Debug)]
pub struct Uplink {
    settings: UplinkSettings,
    attachment: Attachment,
    standing: Phase,
    since: Moment,
    reason: String,
    is_disabled: bool,
    has_failed: bool,
    targets: Vec<TargetTrack>,
    rounds: VecDeque<Round>,
    turn: usize,
    outage: Outage,
    quality: Quality,
    mute_since: Option<Moment>,
    spread: Spread,
    timers: Timers,
}

/// What the evidence says, whatever a person has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unknown,
    Up,
    Degraded,
    Recovering { tally: (u32, u32) },
    Down,
    Absent,
}

/// What may move an uplink from one phase to another.
enum Signal {
    LinkFailed(Trouble),
    LinkReady,
    Answered,
    Silent(Silence),
    Mute(String),
    Trusted,
    Worse(String),
    Better,
}

impl Uplink {
    /// An uplink of which nothing is known, from `now` on.
    pub fn new(settings: UplinkSettings, now: Moment, spread: Spread) -> Self {
        let targets = settings.probe.targets.iter();
        let window = settings.health.window;
        Self {
            targets: targets
                .map(|target| TargetTrack::new(target.clone(), window))
                .collect(),
            quality: Quality::new(&settings.health),
            settings,
            attachment: Attachment {
                trouble: Some(Trouble::Absent),
                ..Attachment::default()
            },
            standing: Phase::Unknown,
            since: now,
            reason: "nothing known yet".to_owned(),
            is_disabled: false,
            has_failed: false,
            rounds: VecDeque::new(),
            turn: 0,
            outage: Outage::default(),
            mute_since: None,
            spread,
            timers: Timers::default(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &UplinkSettings {
        &self.settings
    }

    /// How it is attached.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// How the election sees it.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate {
            name: &self.settings.name,
            tier: self.settings.tier,
            state: self.state(),
            since: self.since,
            has_path: !self.attachment.paths.is_empty(),
            has_failed: self.has_failed,
            reason: &self.reason,
        }
    }

    /// Its state as people see it.
    pub fn state(&self) -> State {
        if self.is_disabled {
            return State::Disabled;
        }
        self.standing.state()
    }

    /// Why it is in this state.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it wants to be looked at again.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// Takes changed settings. What was learnt stays; what was measured stays for targets that do.
    pub fn adapt(&mut self, settings: UplinkSettings, now: Moment) {
        let window = settings.health.window;
        let mut old = std::mem::take(&mut self.targets);
        for target in &settings.probe.targets {
            let kept = old.iter().position(|old| old.target() == target);
            self.targets.push(match kept {
                Some(place) => old.swap_remove(place),
                None => TargetTrack::new(target.clone(), window),
            });
        }
        self.rounds.clear();
        self.quality.adapt(&settings.health);
        self.settings = settings;
        self.probe_soon(now);
    }

    /// Begins or ends maintenance.
    pub fn set_disabled(&mut self, is_disabled: bool, now: Moment, reason: &str, out: &mut Outbox) {
        let before = self.state();
        self.is_disabled = is_disabled;
        self.tell(before, now, reason.to_owned(), out);
    }

    /// The link is now like this.
    pub fn attach(&mut self, attachment: Attachment, now: Moment, out: &mut Outbox) {
        if attachment == self.attachment && self.standing != Phase::Unknown {
            return;
        }
        let is_elsewhere = attachment.paths != self.attachment.paths
            || attachment.addresses != self.attachment.addresses;
        let trouble_before = self.attachment.trouble;
        self.attachment = attachment;
        if is_elsewhere {
            self.targets.iter_mut().for_each(TargetTrack::restart);
        }
        match self.attachment.trouble {
            Some(trouble) => {
                self.forget_rounds();
                self.timers = Timers::default();
                self.signal(Signal::LinkFailed(trouble), now, out);
            }
            None if trouble_before.is_some() => {
                self.forget_rounds();
                self.signal(Signal::LinkReady, now, out);
                self.probe_soon(now);
            }
            None if is_elsewhere => {
                self.forget_rounds();
                self.probe_soon(now);
            }
            None => {}
        }
    }

    /// Takes what became of a probe.
    pub fn probed(&mut self, id: ProbeId, outcome: Outcome, now: Moment, out: &mut Outbox) {
        let Some((round, place)) = self.find(id) else {
            return;
        };
        let before = self.rounds[round].probes[place].fate;
        let fate = match outcome {
            Outcome::Reply(rtt) => Fate::Answered(rtt),
            Outcome::Unreachable(_) => Fate::Missed,
            Outcome::NotSent(why) => {
                self.not_sent(why, now, out);
                Fate::Void
            }
        };
        match (before, fate) {
            (Fate::Pending, _) | (Fate::Missed, Fate::Answered(_)) => {
                self.settle(round, place, fate, now, out);
            }
            (Fate::Answered(_) | Fate::Missed | Fate::Void, _) => {}
        }
        self.arm_deadline();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) {
        if self.timers.take_due(Timer::Deadline, now) {
            self.miss_overdue(now, out);
        }
        if self.timers.take_due(Timer::Recover, now) {
            self.try_to_trust(now, out);
        }
        if self.timers.take_due(Timer::Round, now) {
            self.send_round(now, out);
        }
        self.arm_deadline();
    }

    /// The read model. `wall` translates times.
    pub fn status(&self, is_active: bool, wall: Wall) -> UplinkStatus {
        let jitter = self.jitter();
        let (loss, rtt) = (self.loss(), self.rtt());
        let score = match (loss, rtt) {
            (Some(loss), Some(rtt)) => Some(score(loss, rtt, jitter.unwrap_or_default())),
            (Some(loss), None) if loss.ratio() >= 1.0 => {
                Some(score(loss, Duration::ZERO, Duration::ZERO))
            }
            (Some(_) | None, _) => None,
        };
        UplinkStatus {
            name: self.settings.name.clone(),
            interface: self.settings.interface.clone(),
            tier: self.settings.tier,
            weight: self.settings.weight,
            state: self.state(),
            active: is_active,
            score,
            loss_percent: loss.map(|loss| tenths(loss.percent())),
            rtt_ms: rtt.map(millis),
            jitter_ms: jitter.map(millis),
            since: wall.at(self.since),
            reason: self.reason.clone(),
            families: self.attachment.paths.keys().copied().collect(),
            targets: self.targets.iter().map(TargetTrack::status).collect(),
        }
    }

    fn loss(&self) -> Option<Loss> {
        let standing = self.targets.iter().filter(|target| target.is_standing());
        let total = standing.fold((0, 0), |(all, lost), target| {
            let (sent, missed) = target.window().counts();
            (all + sent, lost + missed)
        });
        loss_of(total)
    }

    /// The link's own latency is in every round trip, the target's only in its own: the least of
    /// the targets' medians is nearest to the link's.
    fn rtt(&self) -> Option<Duration> {
        let medians = self.targets.iter().map(TargetTrack::window);
        medians.filter_map(Window::median_rtt).min()
    }

    fn jitter(&self) -> Option<Duration> {
        let windows = self.targets.iter().map(TargetTrack::window);
        windows.filter_map(Window::jitter).min()
    }

    fn demand(&self) -> Demand {
        Demand {
            false_alarm_every: self.settings.health.false_alarm_every,
            interval: self.settings.probe.interval,
            outage_within: self.settings.health.outage_within,
        }
    }

    // ---- probing ----

    fn pace(&self) -> Pace {
        let is_in_doubt = self.outage.is_suspected() || self.quality.is_suspected();
        match self.standing {
            Phase::Unknown => Pace::Confirm,
            Phase::Up if is_in_doubt => Pace::Confirm,
            Phase::Degraded | Phase::Recovering { .. } if self.outage.is_suspected() => {
                Pace::Confirm
            }
            Phase::Degraded | Phase::Recovering { .. } => Pace::Brisk,
            Phase::Up | Phase::Down | Phase::Absent => Pace::Steady,
        }
    }

    fn probe_soon(&mut self, now: Moment) {
        if self.attachment.trouble.is_none() {
            self.timers.set(Timer::Round, now + ROUTES_FIRST);
        }
    }

    /// A probe that cannot be sent says nothing about the path; but an uplink through which nothing
    /// can be sent for long is of no use, and to call it up would be a lie.
    fn not_sent(&mut self, why: String, now: Moment, out: &mut Outbox) {
        let since = *self.mute_since.get_or_insert(now);
        if now.since(since) >= self.settings.health.outage_within {
            self.signal(Signal::Mute(why), now, out);
        }
    }

    /// Moves the next round nearer if the pace asks for it.
    fn hurry(&mut self, now: Moment) {
        let Some(last) = self.rounds.back().map(|round| round.sent) else {
            return;
        };
        let spacing = self.pace().spacing(&self.settings.probe);
        let due = (last + spacing).max(now);
        if self.timers.get(Timer::Round).is_some_and(|at| at > due) {
            self.timers.set(Timer::Round, due);
        }
    }

    fn send_round(&mut self, now: Moment, out: &mut Outbox) {
        if self.attachment.trouble.is_some() {
            return;
        }
        self.forget_old(now);
        let pace = self.pace();
        let chosen = self.choose(pace.breadth(), now);
        let probes: Vec<_> = chosen
            .into_iter()
            .map(|(target, counts)| self.order(target, counts, now, out))
            .collect();
        let counting = probes.iter().filter(|probe| probe.counts).count();
        self.rounds.push_back(Round {
            sent: now,
            quorum: self.settings.probe.quorum.min(counting.max(1)),
            result: RoundResult::Open,
            probes,
        });
        let spacing = pace.spacing(&self.settings.probe);
        self.timers
            .set(Timer::Round, now + self.spread.spread(pace, spacing));
    }

    /// The places of the targets to ask now, and whether their answers count.
    fn choose(&mut self, breadth: Breadth, now: Moment) -> Vec<(usize, bool)> {
        let quorum = self.settings.probe.quorum;
        let places = 0..self.targets.len();
        let standing: Vec<_> = places
            .clone()
            .filter(|place| self.targets[*place].is_standing())
            .collect();
        if standing.len() < quorum {
            return places.map(|place| (place, true)).collect();
        }
        let mut chosen: Vec<_> = match breadth {
            Breadth::All => standing.iter().map(|place| (*place, true)).collect(),
            Breadth::Turn => (0..quorum)
                .map(|step| (standing[(self.turn + step) % standing.len()], true))
                .collect(),
        };
        self.turn = self.turn.wrapping_add(quorum);
        let retried = places.filter(|place| self.targets[*place].take_retry(now));
        chosen.extend(retried.map(|place| (place, false)).collect::<Vec<_>>());
        chosen
    }

    fn order(&self, target: usize, counts: bool, now: Moment, out: &mut Outbox) -> RoundProbe {
        let id = ProbeId(out.next_probe);
        out.next_probe += 1;
        let most = self.settings.probe.timeout;
        out.probes.push(ProbeOrder {
            id,
            uplink: self.settings.name.clone(),
            target: self.targets[target].target().clone(),
            listen_for: listen_for(most),
        });
        RoundProbe {
            id,
            target,
            counts,
            deadline: now + self.targets[target].deadline(most),
            fate: Fate::Pending,
        }
    }

    fn find(&self, id: ProbeId) -> Option<(usize, usize)> {
        let after = self
            .rounds
            .partition_point(|round| round.probes[0].id <= id);
        let round = after.checked_sub(1)?;
        let probes = &self.rounds[round].probes;
        let place = probes.iter().position(|probe| probe.id == id)?;
        Some((round, place))
    }

    fn forget_rounds(&mut self) {
        self.rounds.clear();
        self.outage.interrupt();
        self.timers.stop(Timer::Deadline);
    }

    fn forget_old(&mut self, now: Moment) {
        let listened = listen_for(self.settings.probe.timeout);
        while let Some(oldest) = self.rounds.front()
            && now.since(oldest.sent) > listened
            && oldest.is_closed()
        {
            self.rounds.pop_front();
        }
        for target in &mut self.targets {
            target.expire(now);
        }
    }

    fn arm_deadline(&mut self) {
        let next = self.rounds.iter().filter_map(Round::next_deadline).min();
        self.timers.set_or_stop(Timer::Deadline, next);
    }

    fn miss_overdue(&mut self, now: Moment, out: &mut Outbox) {
        for round in 0..self.rounds.len() {
            for place in 0..self.rounds.get(round).map_or(0, |r| r.probes.len()) {
                let probe = self.rounds[round].probes[place];
                if probe.fate == Fate::Pending && probe.deadline <= now {
                    self.settle(round, place, Fate::Missed, now, out);
                }
            }
        }
    }

    // ---- evidence ----

    fn settle(&mut self, round: usize, place: usize, fate: Fate, now: Moment, out: &mut Outbox) {
        let sent = self.rounds[round].sent;
        let was_closed = self.rounds[round].is_closed();
        let probe = &mut self.rounds[round].probes[place];
        let undoes_a_miss = probe.fate == Fate::Missed;
        probe.fate = fate;
        if fate != Fate::Void {
            self.mute_since = None;
        }
        let probe = &self.rounds[round].probes[place];
        let (id, target) = (probe.id, probe.target);
        match fate {
            Fate::Answered(rtt) => {
                if undoes_a_miss && was_closed {
                    self.quality.undo_miss(&self.outage.process());
                }
                if self.targets[target].is_standing() {
                    self.quality.reply(rtt);
                }
                let standing = self.targets[target].answered(now, id, sent, rtt);
                self.tell_standing(target, standing, now, out);
            }
            Fate::Missed => self.targets[target].missed(id, sent),
            Fate::Pending | Fate::Void => {}
        }
        self.judge_round(round, now, out);
        if !was_closed && self.rounds.get(round).is_some_and(Round::is_closed) {
            self.close(round, now, out);
        }
        self.hurry(now);
    }

    fn judge_round(&mut self, place: usize, now: Moment, out: &mut Outbox) {
        let round = &mut self.rounds[place];
        let (before, result) = (round.result, round.judge());
        round.result = result;
        let (sent, losses) = (round.sent, round.losses());
        if before == result {
            return;
        }
        match result {
            RoundResult::Open => {}
            RoundResult::Answered => {
                self.outage.answered(sent, self.demand());
                self.count_recovery(0);
                self.signal(Signal::Answered, now, out);
            }
            RoundResult::Failed => {
                self.outage.failed(sent, losses);
                self.count_recovery(1);
                if let Some(silence) = self.outage.verdict(now, self.demand()) {
                    self.signal(Signal::Silent(silence), now, out);
                }
            }
        }
    }

    /// A round is complete: what it says about its targets and about the quality of the link.
    fn close(&mut self, place: usize, now: Moment, out: &mut Outbox) {
        let round = self.rounds[place].clone();
        let process = self.outage.process();
        if round.result == RoundResult::Answered {
            let standing = self.targets.iter().filter(|t| t.is_standing()).count();
            let may_set_aside = standing > self.settings.probe.quorum;
            for probe in round.probes.iter().filter(|p| p.fate == Fate::Missed) {
                let standing =
                    self.targets[probe.target].missed_alone(now, &process, may_set_aside);
                self.tell_standing(probe.target, standing, now, out);
            }
        }
        let tally = round.tally(|target| self.targets[target].is_doubtful());
        let closed = ClosedRound {
            sent: round.sent,
            tally,
        };
        self.quality.round(
            closed,
            &process,
            self.settings.probe.interval,
            self.demand().threshold(),
        );
        if let Some(jitter) = self.jitter() {
            self.quality.jitter(jitter);
        }
        let signal = self
            .quality
            .complaint()
            .map_or(Signal::Better, Signal::Worse);
        self.signal(signal, now, out);
    }

    fn count_recovery(&mut self, lost: u32) {
        if let Phase::Recovering { tally } = &mut self.standing {
            tally.0 += 1;
            tally.1 += lost;
        }
    }

    fn try_to_trust(&mut self, now: Moment, out: &mut Outbox) {
        if self.outage.is_suspected() {
            let soon = now + self.settings.health.recover_after / 4;
            self.timers.set(Timer::Recover, soon);
        } else {
            self.signal(Signal::Trusted, now, out);
        }
    }

    // ---- state ----

    fn signal(&mut self, signal: Signal, now: Moment, out: &mut Outbox) {
        let before = self.state();
        let interface = &self.settings.interface;
        let (phase, reason) = match (self.standing, signal) {
            (_, Signal::LinkFailed(Trouble::Absent)) => {
                (Phase::Absent, format!("no interface {interface}"))
            }
            (_, Signal::LinkFailed(trouble)) => (Phase::Down, explain(trouble, interface.as_str())),
            (Phase::Absent | Phase::Down, Signal::LinkReady) if self.has_failed => {
                (Phase::Down, format!("{interface} is back, no answer yet"))
            }
            (Phase::Unknown, Signal::Answered) => (Phase::Up, "answers".to_owned()),
            (Phase::Down, Signal::Answered) => {
                let tally = (1, 0);
                (Phase::Recovering { tally }, "answers again".to_owned())
            }
            (
                Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. },
                Signal::Silent(silence),
            ) => (Phase::Down, self.explain_silence(silence)),
            (
                Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. },
                Signal::Mute(why),
            ) => (Phase::Down, format!("cannot be probed: {why}")),
            (Phase::Recovering { tally }, Signal::Trusted) => self.trusted(tally),
            (Phase::Up, Signal::Worse(complaint)) => (Phase::Degraded, complaint),
            (Phase::Degraded, Signal::Better) => (Phase::Up, "well again".to_owned()),
            (
                Phase::Unknown
                | Phase::Up
                | Phase::Degraded
                | Phase::Recovering { .. }
                | Phase::Down
                | Phase::Absent,
                Signal::LinkReady
                | Signal::Answered
                | Signal::Silent(_)
                | Signal::Mute(_)
                | Signal::Trusted
                | Signal::Worse(_)
                | Signal::Better,
            ) => return,
        };
        self.enter(phase, now);
        self.tell(before, now, reason, out);
    }

    fn enter(&mut self, phase: Phase, now: Moment) {
        self.standing = phase;
        self.has_failed |= matches!(phase, Phase::Down | Phase::Absent);
        let trust_at = now + self.settings.health.recover_after;
        let is_recovering = matches!(phase, Phase::Recovering { .. });
        self.timers
            .set_or_stop(Timer::Recover, is_recovering.then_some(trust_at));
        if is_recovering {
            self.quality = Quality::new(&self.settings.health);
        }
        self.hurry(now);
    }

    fn trusted(&self, (rounds, failed): (u32, u32)) -> (Phase, String) {
        let loss = Loss::from_ratio(f64::from(failed) / f64::from(rounds.max(1)));
        let lasted = seconds(self.settings.health.recover_after);
        let complaint = if loss >= self.settings.health.loss.enter {
            Some(format!("answers again but loses {loss}"))
        } else {
            self.quality.complaint()
        };
        match complaint {
            Some(complaint) => (Phase::Degraded, complaint),
            None => (Phase::Up, format!("answered for {lasted}")),
        }
    }

    fn tell(&mut self, before: State, now: Moment, reason: String, out: &mut Outbox) {
        let after = self.state();
        self.reason.clone_from(&reason);
        if before == after {
            return;
        }
        self.since = now;
        out.events.push(Event {
            at: now,
            change: Change::Uplink {
                uplink: self.settings.name.clone(),
                interface: self.settings.interface.clone(),
                from: before,
                to: after,
            },
            reason,
        });
    }

    fn tell_standing(
        &self,
        target: usize,
        standing: Option<Standing>,
        now: Moment,
        out: &mut Outbox,
    ) {
        let Some(standing) = standing else {
            return;
        };
        let target = self.targets[target].target().clone();
        let (from, to, reason) = match standing {
            Standing::SetAside => (
                State::Up,
                State::Down,
                format!("{target} does not answer while others do: set aside, asked again later"),
            ),
            Standing::Reinstated => (State::Down, State::Up, format!("{target} answers again")),
        };
        out.events.push(Event {
            at: now,
            change: Change::Target {
                uplink: self.settings.name.clone(),
                interface: self.settings.interface.clone(),
                target,
                from,
                to,
            },
            reason,
        });
    }

    fn explain_silence(&self, silence: Silence) -> String {
        let targets = self.targets.len();
        let lasts = seconds(silence.lasts);
        let rounds = silence.rounds;
        let quorum = self.settings.probe.quorum;
        if quorum == 1 {
            format!("no answer for {lasts}: {rounds} rounds of probes to {targets} targets")
        } else {
            format!("fewer than {quorum} of {targets} targets answer for {lasts}, {rounds} rounds")
        }
    }
}

impl Phase {
    fn state(self) -> State {
        match self {
            Self::Unknown => State::Unknown,
            Self::Up => State::Up,
            Self::Degraded => State::Degraded,
            Self::Recovering { .. } => State::Recovering,
            Self::Down => State::Down,
            Self::Absent => State::Absent,
        }
    }
}

/// Long after the deadline, so that a late answer still undoes a miss.
fn listen_for(timeout: Duration) -> Duration {
    timeout * 2 + Duration::from_secs(1)
}

fn explain(trouble: Trouble, interface: &str) -> String {
    match trouble {
        Trouble::Absent => format!("no interface {interface}"),
        Trouble::Down => format!("{interface} is set down"),
        Trouble::NoCarrier => format!("{interface} has no carrier"),
        Trouble::NoAddress => format!("{interface} has no address"),
        Trouble::NoNextHop => format!(
            "no next hop on {interface}: no default route goes through it and no `gateway` is set"
        ),
    }
}

/// A span in words, to the tenth of a second below ten seconds.
pub fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{:.1} s", span.as_secs_f64())
    } else {
        format!("{:.0} s", span.as_secs_f64())
    }
}
