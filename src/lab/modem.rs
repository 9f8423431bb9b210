//! A modem behind an uplink, which dials and hangs up as the agent's hook says.
//!
//! ```text
//!   agent ── runs ──> hook (sh) ── a line ──> pipe ──> modem: the link of the uplink
//! ```
//! The hook is a real one, of the lab's own: it passes the name of the event on.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::engine::event::{EventKind, Lane, StandbyOrder};
use crate::lab::clock::pause;
use crate::lab::error::{Doing, LabError};
use crate::lab::files::{HOOKS, MODEM};
use crate::lab::internet;
use crate::lab::namespace::Namespace;
use crate::lab::network::AccessLine;
use crate::lab::scenario::ModemSettings;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// Puts a modem before the line of an uplink, which is down from now on. It is there until the handle is
/// dropped.
pub(super) fn install(
    router: &Namespace,
    settings: &ModemSettings,
) -> Result<ShutdownHandle, LabError> {
    let line = AccessLine::of(&settings.uplink)?;
    let (dials_for, is_dead) = (settings.dials_for.0, settings.dead);
    let install = || {
        fs::create_dir_all(HOOKS)?;
        // Whatever the mask of the lab is: the agent runs nothing that others may write.
        fs::set_permissions(HOOKS, Permissions::from_mode(0o755))?;
        let hook = Path::new(HOOKS).join("modem");
        let script = format!(
            "#!/bin/sh\ncase $UPLINKD_EVENT in standby.up | standby.down) echo \"$UPLINKD_EVENT\" > {MODEM} ;; esac\n"
        );
        fs::write(&hook, script)?;
        fs::set_permissions(&hook, Permissions::from_mode(0o755))?;
        mkfifo(MODEM, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // For writing as well, so that it does not end with the first who writes.
        let mut options = File::options();
        options.read(true).write(true);
        options.custom_flags(OFlag::O_NONBLOCK.bits());
        let pipe = options.open(MODEM)?;
        router.run(|| line.hang_up())?;
        let (handle, shutdown) = shutdown::pair()?;
        router.spawn("modem", move || {
            serve(pipe, line, dials_for, is_dead, &shutdown);
        })?;
        Ok::<_, io::Error>(handle)
    };
    install().doing(|| format!("install the modem of {}", settings.uplink))
}

/// Hangs up, as before the agent was there.
pub(super) fn hang_up(router: &Namespace, settings: &ModemSettings) -> Result<(), LabError> {
    let line = AccessLine::of(&settings.uplink)?;
    router
        .run(|| line.hang_up())
        .doing(|| "hang up the modem".to_owned())
}

fn serve(
    mut pipe: File,
    line: AccessLine,
    dials_for: Duration,
    is_dead: bool,
    shutdown: &Shutdown,
) {
    let mut said = [0; 1024];
    while internet::wait(&[&pipe], shutdown) {
        let Ok(length) = pipe.read(&mut said) else {
            continue;
        };
        for event in String::from_utf8_lossy(&said[..length]).lines() {
            // What fails is seen by the agent, and in the report.
            match EventKind::named(event).map(|kind| kind.delivery().lane) {
                Some(Lane::Standby(StandbyOrder::Up)) if !is_dead => {
                    pause(dials_for);
                    drop(line.dial());
                }
                Some(Lane::Standby(StandbyOrder::Down)) => drop(line.hang_up()),
                Some(Lane::Standby(StandbyOrder::Up) | Lane::News) | None => {}
            }
        }
    }
}
