//! What the service says of itself, as every Varlink service does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, INTERFACE};

/// What the interface looks like.
const DESCRIPTION: &str = include_str!("../../../../schemas/org.filter-ctl.varlink");
/// The interface that all Varlink services have.
pub(super) const SERVICE: &str = "org.varlink.service";
const SERVICE_DESCRIPTION: &str = "\
# What every Varlink service says of itself.
interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
";

/// Who it is.
pub(super) fn info() -> Value {
    json!({
        "vendor": "filter-ctl",
        "product": "filter-ctl",
        "version": env!("CARGO_PKG_VERSION"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "interfaces": [SERVICE, INTERFACE],
    })
}

/// What an interface looks like.
pub(super) fn description(parameters: &str) -> Result<Value, Error> {
    /// Which one is asked for.
    #[derive(Deserialize)]
    struct Asked {
        interface: String,
    }
    let asked = serde_json::from_str(parameters);
    let Asked { interface } =
        asked.map_err(|_| Error::InvalidParameter { parameter: "interface".to_owned() })?;
    let description = match interface.as_str() {
        INTERFACE => DESCRIPTION,
        SERVICE => SERVICE_DESCRIPTION,
        _ => return Err(Error::InterfaceNotFound { interface }),
    };
    Ok(json!({ "description": description }))
}
