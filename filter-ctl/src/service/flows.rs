//! Connections that ports follow.

use serde::{Deserialize, Serialize};
use serde_with::base64::Base64;
use serde_with::serde_as;

use super::failure::Failure;
use super::method::More;
use super::{Access, Method, Service};
use crate::engine::{self, FlowFilter, FlowSummary, FlowView, FlowsImported};

/// Lists the connections of a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFlows {
    /// The port.
    pub port: String,
    /// Which.
    #[serde(default)]
    pub filter: FlowFilter,
}

/// Connections, and how full the table is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedFlows {
    /// In the order of their ends.
    pub flows: Vec<FlowView>,
    /// How full the table is.
    pub summary: FlowSummary,
}

impl Method for ListFlows {
    const NAME: &'static str = "ListFlows";
    const ACCESS: Access = Access::Read;
    const MORE: More = More::Again;
    type Reply = ListedFlows;

    fn carry_out(self, service: &Service) -> Result<ListedFlows, Failure> {
        let listed = engine::flows(service.folders(), &self.port, &self.filter);
        let (flows, summary) = listed.map_err(|error| service.failure(&error))?;
        Ok(ListedFlows { flows, summary })
    }
}

/// Says how many connections a port follows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummarizeFlows {
    /// The port.
    pub port: String,
}

impl Method for SummarizeFlows {
    const NAME: &'static str = "SummarizeFlows";
    const ACCESS: Access = Access::Read;
    const MORE: More = More::Again;
    type Reply = FlowSummary;

    fn carry_out(self, service: &Service) -> Result<FlowSummary, Failure> {
        engine::flow_summary(service.folders(), &self.port).map_err(|error| service.failure(&error))
    }
}

/// Takes connections out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutFlows {
    /// The port.
    pub port: String,
    /// Which; all if nothing is said.
    #[serde(default)]
    pub filter: FlowFilter,
}

/// How many were taken out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FlowsCut {
    /// Connections.
    pub cut: usize,
}

impl Method for CutFlows {
    const NAME: &'static str = "CutFlows";
    const ACCESS: Access = Access::Change;
    type Reply = FlowsCut;

    fn carry_out(self, service: &Service) -> Result<FlowsCut, Failure> {
        let cut = service.engine()?.cut_flows(&self.port, &self.filter);
        Ok(FlowsCut { cut: cut.map_err(|error| service.failure(&error))? })
    }
}

/// A file's bytes, in base64 where they travel.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The bytes.
    #[serde_as(as = "Base64")]
    pub bytes: Vec<u8>,
}

/// Gives all connections, and what was learned of the port's addresses, as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportFlows {
    /// The port.
    pub port: String,
}

impl Method for ExportFlows {
    const NAME: &'static str = "ExportFlows";
    // It shows more than listing does: what has to be known to go on with them.
    const ACCESS: Access = Access::Change;
    type Reply = File;

    fn carry_out(self, service: &Service) -> Result<File, Failure> {
        let mut engine = service.engine()?;
        let bytes = engine::export_flows(&mut engine, &self.port).map_err(|error| service.failure(&error))?;
        Ok(File { bytes })
    }
}

/// Takes over connections that were exported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportFlows {
    /// The port.
    pub port: String,
    /// What was exported.
    pub file: File,
}

impl Method for ImportFlows {
    const NAME: &'static str = "ImportFlows";
    const ACCESS: Access = Access::Change;
    type Reply = FlowsImported;

    fn carry_out(self, service: &Service) -> Result<FlowsImported, Failure> {
        let imported = service.engine()?.import_flows(&self.port, &self.file.bytes);
        imported.map_err(|error| service.failure(&error))
    }
}
