//! The source and the documents, held against what they say of each other.

mod architecture;
#[cfg(all(feature = "lab", feature = "packaging", feature = "replay"))]
mod documents;
