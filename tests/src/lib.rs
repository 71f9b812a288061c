//! Tests on real taps in network namespaces; see `tests/`.

pub mod cli;
pub mod frames;
pub mod generate;
pub mod net;
pub mod not_run;
pub mod ports;
pub mod scene;
pub mod stall;
