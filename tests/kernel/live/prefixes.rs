//! The shipped hook for delegated prefixes, on real addresses.

use std::path::Path;
use std::process::{Command, Stdio};

use super::netns::{self, World};
use super::{FIBER, LTE};
use crate::machine;

const FIBERS: &str = "2001:db8:1::/48";

/// A directory for what the hook keeps, and the machine's `ip`.
struct Lan(tempfile::TempDir);

impl Lan {
    fn ip(arguments: &str) -> String {
        let words = arguments.split_whitespace();
        let output = Command::new("ip").arg("-6").args(words).output();
        let output = output.expect("ip");
        assert!(output.status.success(), "ip -6 {arguments}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// How long an address is still preferred, by the word that `ip` has for it.
    fn preferred(address: &str) -> String {
        let shown = Self::ip(&format!("-o address show to {address}"));
        let mut words = shown
            .split_whitespace()
            .skip_while(|word| *word != "preferred_lft");
        words
            .nth(1)
            .expect("a lifetime")
            .trim_end_matches("sec")
            .to_owned()
    }

    fn hook(&self, event: &str) {
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hooks/prefix");
        let mut command = Command::new(hook);
        command
            .env("RUN", self.0.path())
            .env("UPLINKD_EVENT", event)
            .env("UPLINKD_INTERFACE", FIBER)
            .env("UPLINKD_PREFIXES", FIBERS)
            .stdin(Stdio::null());
        let output = command.output().expect("sh");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn the_hook_deprecates_the_addresses_of_an_uplinks_prefix_on_the_lan_and_reverts_that() {
    if !machine::has("ip", &["-V"]) {
        return;
    }
    netns::run(|world: World| async move {
        world.speak_ipv6();
        for wire in [FIBER, LTE, "lan"] {
            world.wire(wire).await;
        }
        for (address, device, lifetimes) in [
            (
                "2001:db8:1:1::1/64",
                "lan",
                "valid_lft 9000 preferred_lft 6000 noprefixroute",
            ),
            ("2001:db8:1:2::1/64", "lan", ""),
            (
                "2001:db8:1:3::1/64",
                "lan",
                "valid_lft 9000 preferred_lft 0",
            ),
            (
                "2001:db8:2:1::1/64",
                "lan",
                "valid_lft 9000 preferred_lft 6000",
            ),
            (
                "2001:db8:1:f::1/64",
                FIBER,
                "valid_lft 9000 preferred_lft 6000",
            ),
        ] {
            Lan::ip(&format!(
                "address add {address} dev {device} nodad {lifetimes}"
            ));
        }
        let shown = || {
            let subnets = ["1:1", "1:2", "1:3", "2:1", "1:f"];
            subnets.map(|subnet| {
                let left = Lan::preferred(&format!("2001:db8:{subnet}::1"));
                // Some seconds may pass.
                left.parse()
                    .map_or(left, |seconds: u32| seconds.div_ceil(1_000).to_string())
            })
        };
        let before = ["6", "forever", "0", "6", "6"];
        assert_eq!(shown(), before);
        let lan = Lan(tempfile::tempdir().expect("a directory"));
        lan.hook("prefix.preferred");
        assert_eq!(shown(), before);
        // Twice, as after a restart of the agent.
        lan.hook("prefix.deprecated");
        lan.hook("prefix.deprecated");
        assert_eq!(shown(), ["0", "0", "0", "6", "6"]);
        lan.hook("prefix.preferred");
        assert_eq!(shown(), before);
        let shown = Lan::ip("-o address show to 2001:db8:1:1::1");
        assert!(shown.contains("noprefixroute"), "{shown}");
    });
}
