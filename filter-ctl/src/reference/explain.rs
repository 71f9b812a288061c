//! What was read of a packet, in words: for `explain`.

use std::fmt::Write;

use super::flows;
use super::packet::{Bridge, Fragment, Ip, Mac, Packet, Upper};
use crate::policy::Field;

impl Packet {
    /// Its fields by name, in the order of its headers.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut list = Vec::new();
        if let Some(ethernet) = self.ethernet {
            list.push(("src-mac", mac(ethernet.source)));
            list.push(("dst-mac", mac(ethernet.destination)));
        }
        for tag in &self.tags {
            list.push(("vlan-type", format!("{:#06x}", tag.ether_type)));
            list.push(("vlan", tag.vlan().to_string()));
            list.push(("vlan-priority", tag.priority().to_string()));
        }
        if let Some(length) = self.length_field {
            list.push(("length", length.value.to_string()));
        }
        if let Some(llc) = self.llc {
            list.push(("llc", format!("{:02x}-{:02x}-{:02x}", llc.dsap, llc.ssap, llc.control)));
            list.extend(llc.bpdu.map(|bpdu| ("bpdu-type", bpdu.kind.to_string())));
        }
        if let Some(configuration) = self.configuration() {
            let bridge = |bridge: Bridge| format!("{}/{}", bridge.priority, mac(bridge.mac));
            list.push(("bpdu-flags", format!("{:#04x}", configuration.flags)));
            list.push(("bpdu-root", bridge(configuration.root)));
            list.push(("bpdu-root-cost", configuration.cost.to_string()));
            list.push(("bpdu-sender", bridge(configuration.sender)));
            list.push(("bpdu-port", configuration.port.to_string()));
        }
        list.extend(self.ether_type.map(|kind| ("ether-type", format!("{kind:#06x}"))));
        if let Some(arp) = self.arp {
            list.push(("arp-hardware", arp.hardware.to_string()));
            list.push(("arp-protocol", format!("{:#06x}", arp.protocol)));
            list.push(("arp-opcode", arp.opcode.to_string()));
            if let Some(addresses) = arp.addresses {
                list.push(("arp-src-mac", mac(addresses.sender_mac)));
                list.push(("arp-src-ip", addresses.sender_ip.to_string()));
                list.push(("arp-dst-mac", mac(addresses.target_mac)));
                list.push(("arp-dst-ip", addresses.target_ip.to_string()));
            }
        }
        self.network(&mut list);
        self.upper(&mut list);
        if self.connection != 0 {
            list.push(("connection", flows::in_words(self.connection)));
        }
        list
    }

    fn network(&self, list: &mut Vec<(&'static str, String)>) {
        let (source, destination, dscp, protocol) = match &self.ip {
            Some(Ip::V4(ip)) => {
                (ip.source.to_string(), ip.destination.to_string(), ip.traffic_class >> 2, ip.protocol)
            }
            Some(Ip::V6(ip)) => {
                (ip.source.to_string(), ip.destination.to_string(), ip.traffic_class >> 2, ip.protocol)
            }
            None => return,
        };
        list.push(("src-ip", source));
        list.push(("dst-ip", destination));
        list.push(("dscp", dscp.to_string()));
        match &self.ip {
            Some(Ip::V4(ip)) => list.extend(ip.options.iter().map(|o| ("ip-option", o.kind.to_string()))),
            Some(Ip::V6(ip)) => {
                list.push(("hop-limit", ip.hop_limit.to_string()));
                list.extend(ip.extensions.iter().map(|e| ("ip-extension", e.kind.to_string())));
            }
            None => {}
        }
        if let Some(Fragment { position, length, more, .. }) = self.fragment() {
            let more = if more { "+" } else { "" };
            list.push(("fragment", format!("{position}:{length}{more}")));
        }
        list.push(("protocol", protocol.to_string()));
    }

    fn upper(&self, list: &mut Vec<(&'static str, String)>) {
        if let Some(ports) = self.ports() {
            list.push(("src-port", ports.source.to_string()));
            list.push(("dst-port", ports.destination.to_string()));
        }
        if let Some((kind, code)) = self.icmp() {
            list.push(("icmp-type", kind.to_string()));
            list.push(("icmp-code", code.to_string()));
        }
        match &self.upper {
            Some(Upper::Tcp { flags, options, .. }) => {
                list.push(("tcp-flags", tcp_flags(*flags)));
                list.extend(options.iter().map(|kind| ("tcp-option", kind.to_string())));
            }
            Some(Upper::Igmp(kind)) => list.push(("igmp-type", kind.to_string())),
            Some(Upper::Nd(nd)) => {
                list.extend(nd.target.map(|target| ("nd-target", target.to_string())));
                let link_layer = self.value(Field::NdLinkLayer);
                if let Some(super::Value::Mac(address)) = link_layer {
                    list.push(("nd-link-layer", mac(address)));
                }
            }
            _ => {}
        }
    }
}

fn mac(address: Mac) -> String {
    let mut text = String::with_capacity(17);
    for (position, byte) in address.iter().enumerate() {
        let colon = if position == 0 { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02x}");
    }
    text
}

fn tcp_flags(flags: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}
