//! Why the lab cannot go on.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use crate::lab::files;

/// Why the lab cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The machine forbids namespaces.
    #[error(
        "NAMESPACES ARE FORBIDDEN on this machine, and the lab needs them.\n\
         Run it as root; or allow them to users: `sysctl -w user.max_user_namespaces=10000`,\n\
         and where they exist `kernel.unprivileged_userns_clone=1` and\n\
         `kernel.apparmor_restrict_unprivileged_userns=0`; in a container: `--privileged`"
    )]
    Namespaces(#[source] io::Error),
    /// The machine forbids TAP devices.
    #[error(
        "/dev/net/tun IS FORBIDDEN on this machine, and the lab's wires need it.\n\
         Load it with `modprobe tun`; let users open it with `chmod 0666 /dev/net/tun`, or run as\n\
         root; in a container: `--device /dev/net/tun --cap-add NET_ADMIN`"
    )]
    Tun(#[source] io::Error),
    /// A step of building or running the network failed.
    #[error("cannot {step}")]
    Step {
        /// What was to be done, and to what.
        step: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The agent did not live until it was ready.
    #[error("the agent ended ({status}) before it was ready; its last words:\n{log}")]
    Agent {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// Something did not happen in time.
    #[error("waited {seconds} s in vain until {event}; the agent's last words:\n{log}")]
    Vain {
        /// What was waited for.
        event: String,
        /// For how long.
        seconds: u64,
        /// The end of the agent's log.
        log: String,
    },
    /// Something failed while the machine stood still.
    #[error("the machine stood still for {:.1} s of the last {:.0}, and so", stalled.as_secs_f64(), of.as_secs_f64())]
    Stalled {
        /// For how long in all.
        stalled: Duration,
        /// Of the time before the failure.
        of: Duration,
        /// What failed.
        #[source]
        source: Box<Self>,
    },
    /// The scenarios that come with the program are faulty.
    #[error("cannot read the scenarios of the lab")]
    ScenarioFile(#[from] toml::de::Error),
    /// There is no such wire.
    #[error("no wire `{0}`; there are lan, and for each uplink NAME-access and NAME-core")]
    Wire(String),
    /// There is no such scenario.
    #[error("no scenario `{name}`; {known}")]
    Scenario {
        /// The name that was given.
        name: String,
        /// The nearest one, or what there is.
        known: String,
    },
}

impl LabError {
    /// Waited too long until `event`.
    pub(super) fn vain(event: &str, limit: Duration) -> Self {
        Self::Vain {
            event: event.to_owned(),
            seconds: limit.as_secs(),
            log: files::end_of_log(),
        }
    }
}

/// Names the step that failed.
pub(super) trait Doing<T> {
    /// Turns a failure into a [`LabError::Step`].
    fn doing(self, step: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, step: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|source| LabError::Step {
            step: step(),
            source: source.into(),
        })
    }
}
