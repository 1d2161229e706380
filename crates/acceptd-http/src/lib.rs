//! The HTTP contract of acceptd.
