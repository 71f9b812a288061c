//! Messages of a peer, as they come in. zlink would take up to 100 MB of anybody, and keep the room for it as long as the
//! connection lasts.

use zlink::connection::socket::{ReadHalf as _, Socket};
use zlink::tokio::unix::Stream;

/// What is read at a time.
const PIECE: usize = 16 << 10;
/// What is still read of a peer that is turned away.
const REST: usize = 16 << 20;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoMessage {
    /// The peer is gone.
    Gone,
    /// It would be longer than it may be.
    TooLong,
}

/// What a peer sends.
#[derive(Debug)]
pub(super) struct Incoming {
    socket: <Stream as Socket>::ReadHalf,
    /// How long a message may be.
    longest: usize,
    /// What was read, and is of no message yet that was given out.
    bytes: Vec<u8>,
    /// So many of them are no zero.
    searched: usize,
    piece: Box<[u8]>,
}

impl Incoming {
    pub(super) fn new(socket: <Stream as Socket>::ReadHalf, longest: usize) -> Self {
        let piece = vec![0; PIECE].into_boxed_slice();
        Self { socket, longest, bytes: Vec::new(), searched: 0, piece }
    }

    /// How long a message may be.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The next message: all until a zero byte. Nothing is lost where it is not waited for.
    pub(super) async fn message(&mut self) -> Result<Vec<u8>, NoMessage> {
        loop {
            let zero = self.bytes[self.searched..].iter().position(|&byte| byte == 0);
            let length = zero.map_or(self.bytes.len(), |zero| self.searched + zero);
            if length > self.longest {
                return Err(NoMessage::TooLong);
            }
            if zero.is_some() {
                let rest = self.bytes.split_off(length + 1);
                let mut message = std::mem::replace(&mut self.bytes, rest);
                message.truncate(length);
                self.searched = 0;
                return Ok(message);
            }
            self.searched = length;
            let read = self.read().await.ok_or(NoMessage::Gone)?;
            self.bytes.extend_from_slice(&self.piece[..read]);
        }
    }

    /// Reads what is of no use to anybody, until the peer goes away or has sent too much of it.
    pub(super) async fn forget_rest(&mut self) {
        self.bytes = Vec::new();
        let mut rest = REST;
        while let Some(read) = self.read().await
            && read < rest
        {
            rest -= read;
        }
    }

    /// Reads a piece; of so many bytes, or of none if the peer is gone.
    async fn read(&mut self) -> Option<usize> {
        // Descriptors that came with it are closed.
        let read = self.socket.read(&mut self.piece).await.ok()?.bytes_read();
        (read > 0).then_some(read)
    }
}
