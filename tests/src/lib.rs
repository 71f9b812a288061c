//! Tests on real taps in network namespaces; see `tests/`.

pub mod cli;
pub mod conversation;
pub mod flood;
pub mod followed;
pub mod foreign;
pub mod frames;
pub mod generate;
pub mod golden;
pub mod hosts;
pub mod libvirt;
pub mod measured;
pub mod net;
pub mod netfilter;
pub mod not_run;
pub mod ports;
pub mod rulesets;
pub mod scene;
pub mod stall;
pub mod varlink;
pub mod vm;
pub mod walked;
