//! filter-ctl.
fn main() {}
