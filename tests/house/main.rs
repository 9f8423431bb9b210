//! The source and the documents, held against what they say of each other.

mod architecture;
#[cfg(all(feature = "lab", feature = "packaging", feature = "replay"))]
mod documents;
#[path = "../support/machine.rs"]
#[expect(dead_code, reason = "programs of the machine concern other tests")]
mod machine;
mod walls;
