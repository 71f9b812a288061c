//! What `cargo xtask` does beyond set-up.

mod alone;
pub mod bench;
pub mod check;
pub mod demo;
pub mod libvirt;
pub mod not_run;
pub mod release;
pub mod test;
pub mod totals;
pub mod vm;
