//! A file of ports to attach, a line each: `PORT [mac=MAC] [ip=ADDRESS]… [param=NAME=VALUE]… [profile=NAME]…
//! [learn=HOW] [learn-max=COUNT] [prefix=PREFIX]… [dhcp-server=ADDRESS]… [flows-max=N] [pickup=HOW]`.
//!
//! The words are those of the options. What the file does not say of a port the command line says of all.

use std::fs;
use std::path::Path;

use clap::ValueEnum as _;

use super::args::parameter;
use crate::datapath::FlowSpec;
use crate::model::Learn;
use crate::service::failure::{Failure, INVALID};
use crate::store::{Binding, Pickup};

/// The ports of a file, each with what is said of all and what its line says of it.
pub fn read(file: &Path, of_all: &Binding) -> Result<Vec<(String, Binding)>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::io(file, &error))?;
    let mut ports = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let said = line.split_once('#').map_or(line, |(said, _)| said);
        let wrong =
            |what: String| Failure::new(INVALID, format!("{}:{}: {what}", file.display(), number + 1));
        ports.extend(read_line(said, of_all).map_err(wrong)?);
    }
    if ports.is_empty() {
        return Err(Failure::new(INVALID, format!("{}: there is no port in it", file.display())));
    }
    Ok(ports)
}

fn read_line(said: &str, of_all: &Binding) -> Result<Option<(String, Binding)>, String> {
    let mut words = said.split_whitespace();
    let Some(port) = words.next() else { return Ok(None) };
    let mut binding = of_all.clone();
    let (mut profiles, mut given, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for word in words {
        let unknown = || {
            format!(
                "found `{word}`, expected mac=MAC, ip=ADDRESS, param=NAME=VALUE, profile=NAME, learn=HOW, \
                     learn-max=COUNT, prefix=PREFIX, dhcp-server=ADDRESS, flows-max=N or pickup=HOW"
            )
        };
        let (key, value) = word.split_once('=').ok_or_else(unknown)?;
        match key {
            "mac" if binding.mac.is_some() => {
                return Err(format!("found `{word}` behind another MAC address"));
            }
            "mac" => binding.mac = Some(value.to_owned()),
            "ip" => {
                let address = value.parse().map_err(|_| format!("found `{word}`, expected an IP address"))?;
                binding.addresses.push(address);
            }
            "param" => {
                given.push(parameter(value).map_err(|expected| format!("found `{word}`, {expected}"))?);
            }
            "flows-max" => {
                let places = value.parse().ok().filter(|places| (1..=FlowSpec::MOST).contains(places));
                let places =
                    places.ok_or_else(|| format!("found `{word}`, expected 1 to {}", FlowSpec::MOST))?;
                binding.flows_max = Some(places);
            }
            "pickup" => {
                let pickup = Pickup::from_str(value, false);
                binding.pickup = Some(
                    pickup.map_err(|_| format!("found `{word}`, expected pickup=strict or pickup=loose"))?,
                );
            }
            "profile" => profiles.push(value.to_owned()),
            "learn" => given.push((Learn::PARAMETER.to_owned(), value.to_owned())),
            "dhcp-server" => given.push((Learn::SERVERS.to_owned(), value.to_owned())),
            "learn-max" => {
                let count =
                    value.parse().map_err(|_| format!("found `{word}`, expected a number from 1 to 8"))?;
                binding.learn_max = Some(count);
            }
            "prefix" => prefixes.push(value.to_owned()),
            _ => return Err(unknown()),
        }
    }
    if !profiles.is_empty() {
        binding.profiles = profiles;
    }
    if binding.profiles.is_empty() {
        return Err(format!("port {port} has no profile: name one here, or for all with --profile"));
    }
    if !prefixes.is_empty() {
        binding.learn_prefixes = prefixes;
    }
    // What stands in the line is not added to a list that is said of all.
    for (name, _) in &given {
        binding.parameters.remove(name);
    }
    for (name, value) in given {
        binding.parameters.entry(name).or_default().push(value);
    }
    Ok(Some((port.to_owned(), binding)))
}
