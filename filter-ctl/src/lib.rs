//! filter-ctl library.
