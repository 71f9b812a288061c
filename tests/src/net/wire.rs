//! Ends of wires: taps as a virtual machine holds them, and raw sockets on an interface.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use super::sys;

/// Where taps are made.
const TUN: &str = "/dev/net/tun";
/// Bytes of `struct virtio_net_hdr`.
const HEADER: usize = 10;
/// More than the largest super-frame.
const LARGEST: usize = 1 << 17;

/// What a guest with a virtio device says of a frame that is to be cut into segments: TCP over IPv4, with the
/// checksum left to whoever cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segmentation {
    /// Bytes of headers; the kernel takes so many as the linear part. Some guests say 0.
    pub headers: u16,
    /// Bytes of payload in each segment.
    pub size: u16,
}

/// The end of a wire that a test holds: frames written to it arrive at the interface, and frames that leave
/// there are read from it.
#[derive(Debug)]
pub struct Wire {
    file: File,
    vnet_hdr: bool,
}

impl Wire {
    /// Makes the tap `name` in the current namespace. It is gone when the value is.
    pub fn tap(name: &str, vnet_hdr: bool) -> io::Result<Self> {
        Self::tap_at(name, None, vnet_hdr)
    }

    /// The same, with an index of the caller's choice.
    pub fn tap_at(name: &str, ifindex: Option<u32>, vnet_hdr: bool) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN).map_err(
                |error| io::Error::new(error.kind(), format!("{TUN}: {error}; load the module `tun`")),
            )?;
        if let Some(ifindex) = ifindex {
            sys::choose_index(&file, ifindex)?;
        }
        sys::become_tap(&file, name, vnet_hdr)?;
        Ok(Self { file, vnet_hdr })
    }

    /// A raw socket on the interface: what is written leaves there. It sees all that passes there, both ways.
    pub fn socket(ifindex: u32) -> io::Result<Self> {
        Ok(Self { file: sys::packet_socket(ifindex)?, vnet_hdr: false })
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// If the kernel does not take it.
    pub fn send(&self, frame: &[u8]) {
        self.try_send(frame).unwrap_or_else(|error| panic!("sending {} bytes: {error}", frame.len()));
    }

    /// Sends a frame, or says what the kernel has against it.
    pub fn try_send(&self, frame: &[u8]) -> io::Result<()> {
        if self.vnet_hdr { self.send_message(&self.message(frame)) } else { self.send_message(frame) }
    }

    /// The frame as the device takes it, with a header before it where it has such.
    pub fn message(&self, frame: &[u8]) -> Vec<u8> {
        if self.vnet_hdr { [&[0; HEADER], frame].concat() } else { frame.to_vec() }
    }

    /// Sends a frame whose checksum is left to the kernel: to be added up from `start` on, and put `offset` behind it.
    ///
    /// # Panics
    /// If the device takes no such frames, or the kernel not this one.
    pub fn send_unfinished(&self, frame: &[u8], start: u16, offset: u16) {
        self.send_message(&self.unfinished(frame, start, offset))
            .unwrap_or_else(|error| panic!("sending {} bytes unfinished: {error}", frame.len()));
    }

    /// The same frame as the device takes it.
    ///
    /// # Panics
    /// If the device takes no such frames.
    pub fn unfinished(&self, frame: &[u8], start: u16, offset: u16) -> Vec<u8> {
        const WHOLE: u8 = 0;
        self.with_checksum_left(frame, WHOLE, Segmentation::default(), (start, offset))
    }

    /// Sends a TCP segment of any length that the kernel is to cut.
    ///
    /// # Panics
    /// If the kernel does not take it.
    pub fn send_segments(&self, frame: &[u8], segmentation: Segmentation) {
        self.send_message(&self.segments(frame, segmentation))
            .unwrap_or_else(|error| panic!("sending a super-frame: {error}"));
    }

    /// A TCP segment that the kernel is to cut, as the device takes it.
    ///
    /// # Panics
    /// If the device takes no super-frames.
    pub fn segments(&self, frame: &[u8], segmentation: Segmentation) -> Vec<u8> {
        const TCP_IPV4: u8 = 1;
        self.with_checksum_left(frame, TCP_IPV4, segmentation, (34, 16))
    }

    fn with_checksum_left(
        &self,
        frame: &[u8],
        kind: u8,
        segmentation: Segmentation,
        (start, offset): (u16, u16),
    ) -> Vec<u8> {
        const NEEDS_CHECKSUM: u8 = 1;
        assert!(self.vnet_hdr, "only a tap with headers of its own takes such frames");
        let mut message = vec![NEEDS_CHECKSUM, kind];
        // Header length, segment size, start and offset of the checksum: in the host's byte order.
        for field in [segmentation.headers, segmentation.size, start, offset] {
            message.extend(field.to_ne_bytes());
        }
        message.extend(frame);
        message
    }

    /// Sends what [`Self::message`] or [`Self::segments`] made: for whoever sends the same many times.
    ///
    /// # Panics
    /// If the kernel takes only a part.
    pub fn send_message(&self, message: &[u8]) -> io::Result<()> {
        let written = (&self.file).write(message)?;
        assert_eq!(written, message.len(), "the kernel takes whole frames");
        Ok(())
    }

    /// The next frame, or `None` when there is none until `deadline`.
    ///
    /// # Panics
    /// If the device is gone.
    pub fn receive(&self, deadline: Instant) -> Option<Vec<u8>> {
        self.receive_message(deadline).map(|(_, frame)| frame)
    }

    /// The same, with the header before it where the device gives one.
    ///
    /// # Panics
    /// If the device is gone.
    pub fn receive_message(&self, deadline: Instant) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut message = self.receive_whole(deadline)?;
        let frame = message.split_off(self.header().min(message.len()));
        Some((message, frame))
    }

    /// The same in one piece, as another device of this kind takes it.
    ///
    /// # Panics
    /// If the device is gone.
    pub fn receive_whole(&self, deadline: Instant) -> Option<Vec<u8>> {
        let mut message = vec![0; LARGEST];
        loop {
            match (&self.file).read(&mut message) {
                Ok(length) => {
                    message.truncate(length);
                    return Some(message);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("receiving a frame: {error}"),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            sys::readable(&self.file, left.min(Duration::from_secs(1))).expect("poll works on a device");
        }
    }

    /// The frame in a message that is in one piece.
    pub fn frame<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        &message[self.header().min(message.len())..]
    }

    fn header(&self) -> usize {
        if self.vnet_hdr { HEADER } else { 0 }
    }

    /// Whether nothing waits to be read.
    ///
    /// # Panics
    /// If the device is gone.
    pub fn is_empty(&self) -> bool {
        !self.has_some(Duration::ZERO)
    }

    /// Waits until something can be read; `false` when the time is over.
    ///
    /// # Panics
    /// If the device is gone.
    pub fn has_some(&self, within: Duration) -> bool {
        sys::readable(&self.file, within).expect("poll works on a device")
    }

    /// Waits for a frame that is `wanted`, and forgets all before it.
    pub fn wait_for(&self, within: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        loop {
            let frame = self.receive(deadline)?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// All frames that wait to be read.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        let now = Instant::now();
        std::iter::from_fn(|| self.receive(now)).collect()
    }
}
