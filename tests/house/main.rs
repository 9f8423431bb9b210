//! The source and the documents, held against what they say of each other.

mod architecture;
