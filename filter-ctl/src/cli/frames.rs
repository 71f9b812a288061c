//! Frames to explain, from wherever they come.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _};
use std::path::Path;

use filter_common::Direction;
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};
use serde::Deserialize;

use crate::service::FrameOf;
use crate::service::failure::{Failure, INVALID};

/// The longest frame the kernel's buffers hold.
const LONGEST: usize = 65_550;

/// A frame in hexadecimal.
pub fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> =
        text.chars().filter(|character| !character.is_whitespace() && !":.-".contains(*character)).collect();
    if !digits.len().is_multiple_of(2) {
        return Err(format!("found {} hexadecimal digits, expected two for each byte", digits.len()));
    }
    if digits.len() / 2 > LONGEST {
        return Err(format!("found {} bytes, expected at most {LONGEST}", digits.len() / 2));
    }
    digits
        .chunks(2)
        .map(|pair| match (pair[0].to_digit(16), pair[1].to_digit(16)) {
            (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
            _ => Err(format!("found `{}{}`, expected two hexadecimal digits", pair[0], pair[1])),
        })
        .collect()
}

#[derive(Deserialize)]
struct Line {
    hex: String,
    dir: Option<String>,
}

/// The frames of a file with a JSON object a line.
pub fn from_lines(path: &Path, direction: Direction) -> Result<Vec<FrameOf>, Failure> {
    let file = File::open(path).map_err(|error| Failure::io(path, &error))?;
    let mut frames = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| Failure::io(path, &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong =
            |what: String| Failure::new(INVALID, format!("{}:{}: {what}", path.display(), number + 1));
        let line: Line = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        let direction = match &line.dir {
            Some(text) => text.parse().map_err(|error| wrong(format!("dir: found `{text}`, {error}")))?,
            None => direction,
        };
        frames.push(FrameOf { hex: from_hex(&line.hex).map_err(wrong)?, dir: direction });
    }
    Ok(frames)
}

/// The frames of a capture.
pub fn from_capture(path: &Path, direction: Direction) -> Result<Vec<FrameOf>, Failure> {
    let wrong = |what: String| Failure::new(INVALID, format!("{}: {what}", path.display()));
    let mut file = File::open(path).map_err(|error| Failure::io(path, &error))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(|_| wrong("expected a pcap or pcapng capture".to_owned()))?;
    file.rewind().map_err(|error| Failure::io(path, &error))?;
    let file = BufReader::new(file);
    let packets = if magic == [0x0a, 0x0d, 0x0d, 0x0a] { pcapng(file) } else { pcap(file) };
    Ok(packets.map_err(wrong)?.into_iter().map(|hex| FrameOf { hex, dir: direction }).collect())
}

fn pcap(file: impl Read) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = PcapReader::new(file).map_err(|error| error.to_string())?;
    ethernet(reader.header().datalink)?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet() {
        packets.push(packet.map_err(|error| error.to_string())?.data.into_owned());
    }
    Ok(packets)
}

fn pcapng(file: impl Read) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = PcapNgReader::new(file).map_err(|error| error.to_string())?;
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        match block.map_err(|error| error.to_string())? {
            Block::InterfaceDescription(interface) => ethernet(interface.linktype)?,
            Block::EnhancedPacket(packet) => packets.push(packet.data.into_owned()),
            Block::SimplePacket(packet) => packets.push(packet.data.into_owned()),
            _ => {}
        }
    }
    Ok(packets)
}

fn ethernet(link: DataLink) -> Result<(), String> {
    if link == DataLink::ETHERNET {
        Ok(())
    } else {
        Err(format!("found frames of link type {link:?}, expected Ethernet"))
    }
}
