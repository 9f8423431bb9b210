//! What a file states, key by key, to say what has changed in it.

use super::document::{ConfigValue, Node};
use crate::units::sorted::SortedMap;

/// At most so many changes are said one by one.
const MOST_NAMED: usize = 8;

/// The keys that a file states with their values, each as `failover.failback_after` or
/// `uplink fiber metered`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated(SortedMap<String, String>);

impl Stated {
    pub(super) fn of(document: &Node) -> Self {
        let mut keys = SortedMap::new();
        collect("", &document.value, &mut keys);
        Self(keys)
    }

    /// What is other than in an earlier file, such as `failover.failback_after 60s -> 5s`.
    pub fn changes_since(&self, earlier: &Self) -> String {
        let keys = self.0.keys().chain(earlier.0.keys());
        let mut keys: Vec<_> = keys
            .filter(|key| self.0.get(*key) != earlier.0.get(*key))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return "nothing has changed".to_owned();
        }
        let value = |stated: &Self, key: &String| {
            let value = stated.0.get(key);
            value.map_or_else(|| "default".to_owned(), Clone::clone)
        };
        let named = keys.iter().take(MOST_NAMED);
        let named =
            named.map(|key| format!("{key} {} -> {}", value(earlier, key), value(self, key)));
        let mut changes: Vec<_> = named.collect();
        if keys.len() > MOST_NAMED {
            changes.push(format!("and {} more", keys.len() - MOST_NAMED));
        }
        changes.join(", ")
    }
}

fn collect(path: &str, value: &ConfigValue, keys: &mut SortedMap<String, String>) {
    match value {
        ConfigValue::Table(entries) => {
            for (key, node) in entries {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                collect(&path, &node.value, keys);
            }
        }
        ConfigValue::List(items) if items.iter().any(|item| item.value.as_table().is_some()) => {
            for (item, number) in items.iter().zip(1..) {
                let name = item.value.as_table().and_then(|entries| {
                    let name = entries.get("name")?.value.as_text()?;
                    Some(name.to_owned())
                });
                let name = name.unwrap_or_else(|| format!("{number}"));
                collect(&format!("{path} {name}"), &item.value, keys);
            }
        }
        ConfigValue::List(items) => {
            let items: Vec<_> = items.iter().map(|item| text(&item.value)).collect();
            keys.insert(path.to_owned(), format!("[{}]", items.join(", ")));
        }
        ConfigValue::Text(_)
        | ConfigValue::Word(_)
        | ConfigValue::Integer(_)
        | ConfigValue::Float(_)
        | ConfigValue::Other(_)
        | ConfigValue::Boolean(_) => {
            keys.insert(path.to_owned(), text(value));
        }
    }
}

fn text(value: &ConfigValue) -> String {
    match value.as_text() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_change_is_said_with_its_key_and_both_values() {
        let stated = |more: &str| {
            let text = format!(
                "{more}\n[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n[[uplink]]\n\
                 name = \"lte\"\ninterface = \"wwan0\"\ntier = 2\n"
            );
            let (_, stated) = Config::parse_stated(&text, "test.toml").expect("correct");
            stated
        };
        let before = stated("[failover]\nfailback_after = \"60s\"");
        let after = stated("[failover]\nfailback_after = \"5s\"\n[probe]\ntargets = [\"1.1.1.1\"]");
        assert_eq!(
            after.changes_since(&before),
            "failover.failback_after 60s -> 5s, probe.targets default -> [1.1.1.1]"
        );
        assert_eq!(before.changes_since(&before), "nothing has changed");
    }
}
