//! Names of uplinks, groups and network interfaces.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not the name of an uplink.
    #[error(
        "`{0}` is no uplink name: 1 to 32 letters, digits, `_`, `-` or `.`, beginning with a letter or a digit"
    )]
    Uplink(String),
    /// Not the name of a group.
    #[error(
        "`{0}` is no group name: 1 to 32 letters, digits, `_`, `-` or `.`, beginning with a letter or a digit"
    )]
    Group(String),
    /// Not the name of an interface.
    #[error("`{0}` is no interface name: 1 to 15 bytes without `/`, `:` or white space")]
    Interface(String),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:ident, $is_valid:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $is_valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::$error(text.to_owned()))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The name of an uplink as the configuration gives it: 1 to 32 of `a-z A-Z 0-9 _ - .`,
    /// beginning with a letter or a digit. Cheap to clone.
    UplinkName,
    Uplink,
    is_plain_name
);
name!(
    /// The name of a group of traffic as the configuration gives it; the letters of an uplink's name.
    GroupName,
    Group,
    is_plain_name
);
name!(
    /// The name of a network interface as the kernel accepts it: 1 to 15 bytes without `/`, `:` or
    /// white space, and neither `.` nor `..` (`dev_valid_name` in the kernel's `net/core/dev.c`).
    InterfaceName,
    Interface,
    is_interface_name
);

fn is_plain_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_clean = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    starts_well && is_clean && text.len() <= 32
}

fn is_interface_name(text: &str) -> bool {
    let fits = (1..=15).contains(&text.len()) && !matches!(text, "." | "..");
    let is_clean = !text
        .chars()
        .any(|c| matches!(c, '/' | ':' | '\0') || c.is_whitespace());
    fits && is_clean
}
