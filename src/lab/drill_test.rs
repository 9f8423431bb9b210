//! Drills: what they measure against what the client felt, and what is left when they are killed.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use socket2::SockRef;

use crate::control::client::Client;
use crate::control::{Request, Response};
use crate::engine::command::{Command, DrillSpan};
use crate::engine::event::drill::{DrillFindings, DrillResult};
use crate::kernel::netfilter::has_table;
use crate::lab::agent::this_program;
use crate::lab::chance::Chance;
use crate::lab::clock::{self, pause};
use crate::lab::error::{Doing, LabError};
use crate::lab::family::LabFamily;
use crate::lab::files::CONTROL;
use crate::lab::internet::{ECHO, ECHO_PORT};
use crate::lab::report::DrillCounts;
use crate::lab::scenario::{Act, AgentAct};
use crate::lab::stream::TimeRange;
use crate::lab::switch_test::name;
use crate::lab::testbed::Testbed;
use crate::units::counting::median;

/// How long the answers to the last packets may take.
const GRACE: Duration = Duration::from_millis(300);
/// Between two drills. Probes come once a second: each begins at another moment between two.
const PAUSE: Duration = Duration::from_millis(1_130);
/// A drill that is killed has lasted for so long, at most: its path is cut after a second.
const LONGEST: Duration = Duration::from_millis(3_500);
/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);
/// The table of the rules that cut a path.
const RULES: &str = "uplinkd-drill";
/// Between two looks at the path.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Does what an act about drills says; `fixed`: so often.
pub(super) fn follow(
    testbed: &mut Testbed<'_>,
    act: &Act,
    fixed: Option<u32>,
    chance: &mut Chance,
) -> Result<Option<DrillCounts>, LabError> {
    let Act::Drill {
        uplink,
        lasts,
        times,
        killed,
    } = act
    else {
        return Ok(None);
    };
    let times = fixed.unwrap_or(*times);
    if *killed {
        kill_in_drills(testbed, uplink, times, chance).map(Some)
    } else {
        drill(testbed, uplink, lasts.0, times).map(Some)
    }
}

/// Drills an uplink so many times.
fn drill(
    testbed: &mut Testbed<'_>,
    uplink: &str,
    lasts: Duration,
    times: u32,
) -> Result<DrillCounts, LabError> {
    let heading = testbed.seen.phase.take();
    let mut counts = DrillCounts::default();
    let (mut own, mut felt) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let from = clock::now();
        let findings = request(uplink, lasts)?;
        let to = clock::now();
        testbed.listen_until(to + GRACE, |_| false);
        let traffic = testbed
            .seen
            .traffic(LabFamily::Ipv4, TimeRange { from, to });
        let measured = findings
            .stream_ms
            .map(|ms| Duration::from_millis(ms.into()));
        let measured = measured.unwrap_or(PATIENCE);
        let differs = measured
            .abs_diff(traffic.gap)
            .saturating_sub(traffic.machine_delay);
        counts.drills += 1;
        counts.passed += u32::from(findings.result == DrillResult::Passed);
        counts.differs_by_ms = counts.differs_by_ms.max(millis(differs));
        own.push(millis(measured));
        felt.push(millis(traffic.gap));
        testbed.listen_until(clock::now() + PAUSE, |_| false);
    }
    own.sort_unstable();
    felt.sort_unstable();
    counts.median_ms = median(&own).unwrap_or_default();
    counts.felt_median_ms = median(&felt).unwrap_or_default();
    testbed.seen.phase = heading;
    Ok(counts)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn request(uplink: &str, lasts: Duration) -> Result<DrillFindings, LabError> {
    let lasts: DrillSpan = humantime::format_duration(lasts)
        .to_string()
        .parse()
        .map_err(io::Error::other)
        .doing(|| "drill".to_owned())?;
    let uplink = name(uplink)?;
    let command = Request::from(Command::Drill { uplink, lasts });
    let agent = Client::connect(Path::new(CONTROL));
    let answer = agent.and_then(|mut agent| agent.request_at_length(&command));
    let answer = match answer {
        Ok(Response::Event(record)) => record.drill.ok_or(io::ErrorKind::InvalidData.into()),
        Ok(Response::Refused(why) | Response::NotFound(why)) => Err(io::Error::other(why)),
        Ok(
            Response::Done(_)
            | Response::Status(_)
            | Response::History(_)
            | Response::Samples(_)
            | Response::Mwan3(_),
        ) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) => Err(io::Error::other(error)),
    };
    answer.doing(|| "drill".to_owned())
}

/// Kills the command, the agent or both in so many drills, at moments drawn from the seed, and sees how soon the path
/// is whole again, and whether anything is left when the agent runs again.
fn kill_in_drills(
    testbed: &mut Testbed<'_>,
    uplink: &str,
    times: u32,
    chance: &mut Chance,
) -> Result<DrillCounts, LabError> {
    let heading = testbed.seen.phase.take();
    let mut counts = DrillCounts::default();
    for number in 0..times {
        let mut command = Process::new(this_program());
        command
            .args(["drill", uplink, "--for", "1m", "--yes", "--socket", CONTROL])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let router = testbed.network.router();
        let mut process = router
            .adopt(&mut command)
            .and_then(Process::spawn)
            .doing(|| "start a drill".to_owned())?;
        testbed.listen_until(clock::now() + LONGEST.mul_f64(chance.unit()), |_| false);
        let (kills_command, kills_agent) = match number % 3 {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let killed = clock::now();
        if kills_command {
            process.kill().doing(|| "kill a drill".to_owned())?;
        }
        if kills_agent {
            testbed.direct(AgentAct::Kill)?;
        }
        await_path(testbed, uplink)?;
        let whole = clock::now().since(killed);
        counts.drills += 1;
        counts.restored_after_ms = counts.restored_after_ms.max(millis(whole));
        // Without an agent it ends by itself.
        process.wait().doing(|| "end a drill".to_owned())?;
        if kills_agent {
            testbed.direct(AgentAct::Start)?;
        }
        testbed.seen.status = testbed.seen.status.take().filter(|_| !kills_agent);
        testbed.wait_until_ready()?;
        let limit = clock::now() + Duration::from_secs(2);
        while router
            .run(|| has_table(RULES))
            .doing(|| "look for rules".to_owned())?
        {
            if clock::now() >= limit {
                counts.left_something += 1;
                break;
            }
            pause(LOOK_EVERY);
        }
    }
    testbed.seen.phase = heading;
    Ok(counts)
}

/// Waits until the router is answered by an uplink's interface.
fn await_path(testbed: &mut Testbed<'_>, uplink: &str) -> Result<(), LabError> {
    let open = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        SockRef::from(&socket).bind_device(Some(uplink.as_bytes()))?;
        socket.connect((ECHO, ECHO_PORT))?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        Ok(socket)
    };
    let router = testbed.network.router();
    let socket = router.run(open).doing(|| format!("ask by {uplink}"))?;
    let limit = clock::now() + PATIENCE;
    while clock::now() < limit {
        // A refusal of an earlier packet is no news.
        drop(socket.send(&[0; 8]));
        if socket.recv(&mut [0; 8]).is_ok() {
            return Ok(());
        }
        testbed.catch_up();
    }
    Err(LabError::vain(
        &format!("{uplink} was whole again"),
        PATIENCE,
    ))
}
