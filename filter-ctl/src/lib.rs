//! filter-ctl: XML profiles, compiled to a decision graph that eBPF classifiers walk.

pub mod cli;
pub mod clock;
pub mod compile;
pub mod convert;
pub mod daemon;
pub mod datapath;
pub mod engine;
pub mod hooks;
pub mod ipset;
pub mod model;
pub mod netdev;
pub mod policy;
pub mod reference;
pub mod resolve;
pub mod service;
pub mod store;
pub mod xml;
