//! Benchmarks: what a packet, an update and a port cost, beside what else could be used for the same.
//!
//! Every part measures all its competitors interleaved in one run and hands what it found to a [`Report`]; only
//! ratios within one run mean something on another machine. The list of parts is one table, [`parts::PARTS`].
//!
//! [`Report`]: report::Report

pub mod bed;
pub mod host;
mod loaded;
pub mod machine;
pub mod output;
pub mod packet;
pub mod parts;
pub mod path;
pub mod progress;
pub mod report;
pub mod sample;
pub mod scale;
pub mod state;
pub mod timing;
pub mod update;
