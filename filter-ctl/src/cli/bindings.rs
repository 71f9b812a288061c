//! Commands on ports: what they are held to, and libvirt's bindings.

use std::path::Path;

use serde_json::json;

use super::args::{ChangeArgs, PortArgs};
use super::progress::Progress;
use super::{Context, binding_lines, show};
use crate::datapath::{Datapath, LogLevel};
use crate::engine::{self, Attached, EngineError, PortView, Warning};
use crate::service::failure::{Failure, INVALID, NOT_FOUND, USAGE};
use crate::service::{Attach, AttachedPorts, Detach, ListPorts, Ports};
use crate::store::Binding;
use crate::xml::{self, Reading, filter_binding};

impl Context {
    /// Attaches ports to `binding`, or those of a file that says what else holds for each.
    pub(super) fn attach(
        &self,
        ports: &[String],
        file: Option<&Path>,
        binding: &Binding,
        (change, kernel_log): (ChangeArgs, LogLevel),
    ) -> Result<(), Failure> {
        if ports.len() != 1 && (binding.mac.is_some() || !binding.addresses.is_empty()) {
            return Err(Failure::new(
                USAGE,
                "--mac and --ip are one port's: attach one port with them, or give each its own in a file (--bindings)",
            ));
        }
        let bindings = match file {
            Some(file) => binding_lines::read(file, binding)?,
            None => ports.iter().map(|port| (port.clone(), binding.clone())).collect(),
        };
        if kernel_log != LogLevel::Off && Datapath::look_at(&self.folders.bpffs).is_ok_and(|it| it.is_some())
        {
            eprintln!(
                "filter-ctl: the classifiers are loaded already, and go on logging as they were loaded to"
            );
        }
        let attach = Attach { flows: change.flows, kernel_log, ..Attach::new(bindings) };
        let AttachedPorts { ports: attached } =
            self.client.call_with(attach, Progress::of("ports attached"))?;
        if let ([_], [attached]) = (ports, attached.as_slice()) {
            return self.print_changed(attached, || show::attached(attached));
        }
        self.print_changed(&attached, || attached.iter().map(show::attached).collect())
    }

    pub(super) fn detach(&self, ports: &[String]) -> Result<(), Failure> {
        self.call(Detach { ports: ports.to_vec() })?;
        let text = || ports.iter().map(|port| format!("{port} is not filtered any more\n")).collect();
        if let [port] = ports {
            return self.print_changed(&json!({ "detached": port }), text);
        }
        let detached: Vec<_> = ports.iter().map(|port| json!({ "detached": port })).collect();
        self.print_changed(&detached, text)
    }

    /// Detaches one port.
    pub(super) fn detached(&self, port: &str) -> Result<(), Failure> {
        self.call(Detach { ports: vec![port.to_owned()] })?;
        Ok(())
    }

    pub(super) fn ports(&self) -> Result<(), Failure> {
        let ports = self.bindings()?;
        self.print(&ports, || show::ports(&ports))
    }

    /// All ports; what is wrong with damaged files is told.
    pub(super) fn bindings(&self) -> Result<Vec<PortView>, Failure> {
        let Ports { ports, damaged } = self.call(ListPorts {})?;
        for problem in damaged {
            eprintln!("filter-ctl: {problem}");
        }
        Ok(ports)
    }

    pub(super) fn binding_create(
        &self,
        file: &Path,
        reading: Reading,
        port: PortArgs,
    ) -> Result<(), Failure> {
        let attached = self.bound(file, reading, port)?;
        self.print_changed(&attached, || show::attached(&attached))
    }

    /// Puts a document's binding in force.
    pub(super) fn bound(&self, file: &Path, reading: Reading, port: PortArgs) -> Result<Attached, Failure> {
        let text = xml::read_profile_file(file)?;
        let parsed = filter_binding::parse(&text, reading)
            .map_err(|error| Failure::new(INVALID, error.in_file(file).to_string()))?;
        let warnings: Vec<Warning> = parsed.warnings.into_iter().map(Warning::from).collect();
        self.warn(file, &warnings);
        let binding = engine::of_document(&parsed.binding, port.binding());
        let attach = Attach { only_new: true, ..Attach::new([(parsed.binding.port.clone(), binding)]) };
        let attached = self.call(attach)?.ports.pop();
        let attached = attached.ok_or_else(|| Failure::new(NOT_FOUND, "no port was attached"))?;
        Ok(Attached { warnings, ..attached })
    }

    pub(super) fn binding_delete(&self, port: &str) -> Result<(), Failure> {
        self.detached(port)?;
        let deleted = json!({ "deleted": port });
        self.print_changed(&deleted, || {
            format!("the binding of {port} is deleted; it is not filtered any more\n")
        })
    }

    pub(super) fn binding_list(&self) -> Result<(), Failure> {
        let ports = self.bindings()?;
        let list: Vec<_> = ports
            .iter()
            .map(|port| {
                let binding = port.binding.as_ref();
                json!({
                    "port": port.port,
                    "status": port.status,
                    "profiles": binding.map(|binding| &binding.profiles),
                    "mac": binding.and_then(|binding| binding.mac.as_ref()),
                    "owner": binding.and_then(|binding| binding.owner.as_ref()),
                    "link_device": binding.and_then(|binding| binding.link_device.as_ref()),
                })
            })
            .collect();
        self.print(&list, || show::bindings(&ports))
    }

    pub(super) fn binding_dumpxml(&self, port: &str) -> Result<(), Failure> {
        let text = self.binding_document(port)?;
        self.print(&json!({ "port": port, "xml": text }), || text.clone())
    }

    /// The document of a port's binding.
    pub(super) fn binding_document(&self, port: &str) -> Result<String, Failure> {
        let ports = self.bindings()?;
        let view = ports
            .iter()
            .find(|view| view.port == port)
            .ok_or_else(|| Failure::new(NOT_FOUND, EngineError::not_attached(port).to_string()))?;
        let document =
            engine::document(view).map_err(|error| Failure::engine(&error, &self.folders, None))?;
        Ok(filter_binding::print(&document))
    }
}
