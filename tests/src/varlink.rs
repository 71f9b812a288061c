//! A second client of the daemon: Varlink by hand, which holds each call and reply to the interface's description.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use zlink::idl::{CustomType, Interface, Type};

/// The interface under test.
const INTERFACE: &str = "org.filter-ctl";

/// A connection.
#[derive(Debug)]
pub struct Varlink {
    socket: UnixStream,
    description: String,
}

impl Varlink {
    /// Connects, and asks what the interface looks like.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut varlink = Self { socket, description: String::new() };
        let asked = json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": { "interface": INTERFACE },
        });
        let reply = varlink.exchange(&asked)?;
        reply["parameters"]["description"].as_str().unwrap_or_default().clone_into(&mut varlink.description);
        Ok(varlink)
    }

    /// What the interface looks like.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Sends a message and gives the answer.
    pub fn exchange(&mut self, message: &Value) -> io::Result<Value> {
        self.send(message.to_string().as_bytes())?;
        self.receive()
    }

    /// Sends a message, whatever it is.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.socket.write_all(message)?;
        self.socket.write_all(&[0])
    }

    /// Sends part of a message.
    pub fn send_part(&mut self, part: &[u8]) -> io::Result<()> {
        self.socket.write_all(part)
    }

    /// Gives the next answer.
    pub fn receive(&mut self) -> io::Result<Value> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        loop {
            // Also where a signal comes in between.
            self.socket.read_exact(&mut byte)?;
            if byte == [0] {
                return serde_json::from_slice(&bytes).map_err(io::Error::other);
            }
            bytes.push(byte[0]);
        }
    }

    /// Calls a method of the interface. An error is its name and parameters.
    ///
    /// # Panics
    /// If the call or the answer is not what the interface's description says, or if there is none.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Result<Value, (String, Value)> {
        let message = json!({ "method": format!("{INTERFACE}.{method}"), "parameters": parameters });
        let reply = self.exchange(&message).unwrap_or_else(|error| panic!("{method}: {error}"));
        self.check(method, parameters, &reply);
        match reply["error"].as_str() {
            Some(error) => Err((error.to_owned(), reply["parameters"].clone())),
            None => Ok(reply["parameters"].clone()),
        }
    }

    /// The same of one that must not fail.
    ///
    /// # Panics
    /// If it does.
    pub fn ok(&mut self, method: &str, parameters: &Value) -> Value {
        self.call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Names of the interface's methods.
    ///
    /// # Panics
    /// If its description is none.
    pub fn methods(&self) -> Vec<String> {
        let interface = Interface::try_from(self.description.as_str()).expect("the description is good");
        interface.methods().map(|method| method.name().to_string()).collect()
    }

    /// Holds an exchange against the interface's description.
    ///
    /// # Panics
    /// If it is not what that says.
    pub fn check(&self, method: &str, parameters: &Value, reply: &Value) {
        let interface = Interface::try_from(self.description.as_str()).expect("the description is good");
        let types = interface.custom_types().map(|known| (known.name().to_string(), known)).collect();
        let types = Types(types);
        let described = interface.methods().find(|known| *known.name() == method);
        let described = described.unwrap_or_else(|| panic!("{method} is not in the description"));
        let fields = |list: Vec<(String, &Type<'_>)>, value: &Value, what: &str| {
            types
                .check_fields(&list, value)
                .unwrap_or_else(|wrong| panic!("{method}: {what}: {wrong}: {value}"));
        };
        // What is refused need not be good.
        let Some(error) = reply["error"].as_str() else {
            fields(
                described.inputs().map(|it| (it.name().to_string(), it.ty())).collect(),
                parameters,
                "parameters",
            );
            fields(
                described.outputs().map(|it| (it.name().to_string(), it.ty())).collect(),
                &reply["parameters"],
                "reply",
            );
            return;
        };
        let Some(name) = error.strip_prefix("org.filter-ctl.") else { return };
        let known = interface.errors().find(|known| *known.name() == name);
        let known = known.unwrap_or_else(|| panic!("{method}: error {name} is not in the description"));
        fields(
            known.fields().map(|it| (it.name().to_string(), it.ty())).collect(),
            &reply["parameters"],
            "error",
        );
    }
}

/// Types of the interface, by name.
struct Types<'a>(HashMap<String, &'a CustomType<'a>>);

impl Types<'_> {
    fn check_fields(&self, fields: &[(String, &Type<'_>)], value: &Value) -> Result<(), String> {
        let Value::Object(found) = value else { return Err("expected an object".to_owned()) };
        for (name, wanted) in fields {
            match found.get(name) {
                Some(value) => self.check(wanted, value).map_err(|wrong| format!("{name}: {wrong}"))?,
                None if wanted.as_optional().is_some() => {}
                None => return Err(format!("{name} is missing")),
            }
        }
        match found.keys().find(|name| fields.iter().all(|(known, _)| known != *name)) {
            Some(unknown) => Err(format!("{unknown} is not in the description")),
            None => Ok(()),
        }
    }

    fn check(&self, wanted: &Type<'_>, value: &Value) -> Result<(), String> {
        let wrong = || Err(format!("found {value}, expected {wanted}"));
        match wanted {
            Type::Bool if value.is_boolean() => Ok(()),
            Type::Int if value.is_i64() || value.is_u64() => Ok(()),
            Type::Float if value.is_number() => Ok(()),
            Type::String if value.is_string() => Ok(()),
            Type::ForeignObject if value.is_object() => Ok(()),
            Type::Any => Ok(()),
            Type::Optional(_) if value.is_null() => Ok(()),
            Type::Optional(inner) => self.check(inner, value),
            Type::Array(inner) => match value {
                Value::Array(values) => values.iter().try_for_each(|value| self.check(inner, value)),
                _ => wrong(),
            },
            Type::Map(inner) => match value {
                Value::Object(values) => values.values().try_for_each(|value| self.check(inner, value)),
                _ => wrong(),
            },
            Type::Custom(name) => match self.0.get(&name.to_string()) {
                Some(CustomType::Object(object)) => {
                    let fields: Vec<_> =
                        object.fields().map(|field| (field.name().to_string(), field.ty())).collect();
                    self.check_fields(&fields, value).map_err(|wrong| format!("{name}: {wrong}"))
                }
                Some(CustomType::Enum(values)) => {
                    let known = values.variants().any(|known| value == known.name().to_string().as_str());
                    if known { Ok(()) } else { wrong() }
                }
                None => Err(format!("there is no type {name}")),
            },
            Type::Enum(values) => {
                let known = values.iter().any(|known| value == known.name().to_string().as_str());
                if known { Ok(()) } else { wrong() }
            }
            Type::Object(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|field| (field.name().to_string(), field.ty())).collect();
                self.check_fields(&fields, value)
            }
            _ => wrong(),
        }
    }
}
