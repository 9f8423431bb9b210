//! A changed configuration while the agent runs.

use super::Daemon;
use crate::config::{AgentSettings, Config};
use crate::control::Response;
use crate::engine::event::Change;
use crate::engine::input::Input;

impl Daemon {
    /// Reads the configuration again. A bad one is refused, and the old one stays.
    pub(super) fn reload(&mut self) -> Response {
        self.supervisor.reloading();
        let outcome = self.load_again();
        self.supervisor.reloaded();
        match outcome {
            Ok(changes) => Response::Done(format!("reloaded: {changes}")),
            Err(error) => {
                let reason = format!("{error:#}");
                self.announce_agent(Change::ConfigRefused, reason.clone());
                Response::Refused(reason)
            }
        }
    }

    /// Applies it; returns the changes in words.
    fn load_again(&mut self) -> anyhow::Result<String> {
        let (mut config, stated) = Config::load_stated(&self.options.config_path)?;
        let running = &self.config;
        check_without_restart(running, &config)?;
        let changes = stated.changes_since(&self.options.stated);
        self.announcer.metrics.move_to(&config)?;
        config.engine.seed = running.engine.seed;
        self.options.restrict(&mut config);
        if config.agent.hooks != running.agent.hooks {
            self.announcer.move_hooks(&config.agent.hooks);
        }
        let on_ubus = |agent: &AgentSettings| (agent.ubus.clone(), agent.ubus_mwan3);
        if on_ubus(&config.agent) != on_ubus(&running.agent) {
            self.netifd.restart(&config.agent, &self.control);
        }
        self.config = config;
        self.options.stated = stated;
        // No inputs: the settings contain it already.
        drop(self.netifd.lay_over(&mut self.config));
        self.kernel.forget_attachment(None);
        self.pending.note_reload(changes.clone());
        let settings = Box::new(self.config.engine.clone());
        self.decisions.tell(Input::Settings(settings));
        self.told_time.tell_at(self.clock.now());
        self.look_at_interfaces();
        self.count_flows_anew();
        let chosen = self.decisions.engine.choices();
        let directory = &self.config.agent.state_dir;
        self.state.note_choices(chosen, None, directory);
        Ok(changes)
    }
}

/// Refuses what only a restart can change.
fn check_without_restart(running: &Config, config: &Config) -> anyhow::Result<()> {
    let needs_restart = [
        (
            "agent.control",
            config.agent.control != running.agent.control,
        ),
        ("agent.log", config.agent.log != running.agent.log),
        ("agent.record", config.agent.record != running.agent.record),
    ];
    if let Some((key, _)) = needs_restart.iter().find(|(_, differs)| *differs) {
        anyhow::bail!("`{key}` changes only with a restart");
    }
    if config.engine.numbering.protocol != running.engine.numbering.protocol {
        // Routes with the old number would be left behind.
        anyhow::bail!(
            "`routing.protocol` changes only while nothing carries the old number: set it while \
             the agent is stopped, after a stop with `on_stop = \"remove\"`"
        );
    }
    Ok(())
}
