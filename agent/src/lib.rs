//! The agent of U-Mail: one on every mail node.
