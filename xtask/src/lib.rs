//! Tasks of the project: set-up of the tool chain, build of the BPF object, checks, tests, demo, benchmarks.
//!
//! The library is shared by two users. The `xtask` binary is what a person runs; `filter-ctl`'s build script
//! takes [`object`] and [`toolchain`] from here, so that how the compiler and the linker are found is written
//! once. That is why it depends on nothing but `anyhow`.
//!
//! Finding and installing are kept apart: [`toolchain`] only looks, [`setup`] alone changes the machine. A
//! build therefore never installs anything.

pub mod cli;
pub mod lint;
pub mod object;
pub mod process;
pub mod setup;
pub mod tasks;
pub mod toolchain;
pub mod workspace;
