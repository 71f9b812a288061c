//! What hosts do with real sockets. All of it is done in the current network namespace, by the calling thread, and
//! fails if it takes too long.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::net::SOON;

/// How long is waited for what must not happen.
pub const A_MOMENT: Duration = Duration::from_millis(300);

/// A listener on that port of an address.
///
/// # Panics
/// If the host has no such address, or somebody listens there.
pub fn listen(at: SocketAddr) -> TcpListener {
    TcpListener::bind(at).unwrap_or_else(|error| panic!("listening at {at}: {error}"))
}

/// A connection, or why there is none after a while.
pub fn connect(to: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, within)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    Ok(stream)
}

/// A socket that begins to connect from a port of its own, and does not wait.
///
/// # Panics
/// If it cannot begin.
pub fn start_connecting(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
    sockopt::set_socket_reuseaddr(&socket, true).expect("an option that all have");
    rustix::net::bind(&socket, &from).unwrap_or_else(|error| panic!("{from}: {error}"));
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => TcpStream::from(socket),
        Err(error) => panic!("{from} to {to}: {error}"),
    }
}

/// Ends a connection at once: the other side gets a reset.
///
/// # Panics
/// If it cannot.
pub fn abort(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("an option that all have");
    drop(stream);
}

/// Says something over a connection whose other end is there, too, and hears it there.
///
/// # Panics
/// If it does not arrive.
pub fn said(mut from: &TcpStream, mut to: &TcpStream, what: &[u8]) {
    to.set_read_timeout(Some(SOON)).expect("a time");
    from.write_all(what).expect("it is sent");
    let mut heard = vec![0; what.len()];
    to.read_exact(&mut heard).expect("it arrives");
    assert_eq!(heard, what);
}

/// Sends so many bytes over a connection that is accepted in another thread, and waits until the other side says that
/// all of them are there. `server` and `client` do their part in namespaces of their own.
///
/// # Panics
/// If it cannot be done in time.
pub fn bulk(listener: &TcpListener, client: impl FnOnce() -> TcpStream, length: usize) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("it connects");
            stream.set_read_timeout(Some(SOON)).expect("a time");
            let mut received = 0;
            let mut buffer = vec![0; 1 << 16];
            loop {
                match stream.read(&mut buffer).expect("data goes on coming") {
                    0 => break,
                    more => {
                        assert!(buffer[..more].iter().all(|&byte| byte == 0x5a), "data is what was sent");
                        received += more;
                    }
                }
            }
            stream.write_all(&received.to_be_bytes()).expect("the answer is sent");
        });
        let mut stream = client();
        let piece = vec![0x5a; 1 << 16];
        let mut left = length;
        while left > 0 {
            let size = left.min(piece.len());
            stream.write_all(&piece[..size]).expect("data goes on");
            left -= size;
        }
        stream.shutdown(Shutdown::Write).expect("there is no more");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("the answer comes");
        assert_eq!(usize::from_be_bytes(answer), length, "all of it arrived");
    });
}

/// A socket for datagrams at an address and port.
///
/// # Panics
/// If the host has no such address, or somebody has that port.
pub fn datagram_socket(at: SocketAddr) -> UdpSocket {
    UdpSocket::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"))
}

/// Gives datagrams back to whoever sends them, until it is dropped.
#[derive(Debug)]
pub struct Echo {
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

/// Begins to answer at that socket.
///
/// # Panics
/// If the socket cannot be shared.
pub fn answer_datagrams(socket: UdpSocket) -> Echo {
    let shared = socket.try_clone().expect("a socket can be shared");
    let thread = thread::spawn(move || {
        shared.set_read_timeout(None).expect("no time");
        let mut buffer = vec![0; 1 << 16];
        loop {
            match shared.recv_from(&mut buffer) {
                // An answer that cannot be sent is missed by who waits for it.
                Ok((length @ 1.., from)) => drop(shared.send_to(&buffer[..length], from)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok((0, _)) | Err(_) => return,
            }
        }
    });
    Echo { socket, thread: Some(thread) }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Who waits in a system call is woken by this.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The next datagram, if one comes in time.
///
/// # Panics
/// If the socket is told of an error.
pub fn heard(socket: &UdpSocket, within: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + within;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        socket.set_read_timeout(Some(left)).expect("a time");
        match socket.recv(&mut buffer) {
            Ok(length) => return Some(buffer[..length].to_vec()),
            // A call with a time is not begun again by itself.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => panic!("waiting for a datagram: {error}"),
        }
    }
}

/// Sends a message and waits for the answer that is `expected`.
fn exchange(socket: &UdpSocket, message: &[u8], within: Duration, expected: impl Fn(&[u8]) -> bool) -> bool {
    socket.send(message).expect("it is sent");
    let deadline = Instant::now() + within;
    while let Some(seen) = heard(socket, deadline.saturating_duration_since(Instant::now())) {
        if expected(&seen) {
            return true;
        }
    }
    false
}

/// Whether a datagram from a connected socket is given back within that time.
///
/// # Panics
/// If it cannot be sent.
pub fn is_answered(socket: &UdpSocket, message: &[u8], within: Duration) -> bool {
    exchange(socket, message, within, |seen| seen == message)
}

/// Whether the host there answers an echo request of the kernel's ping socket within that time.
///
/// # Panics
/// If it cannot be sent.
pub fn ping_passes(to: IpAddr, within: Duration) -> bool {
    const ECHO: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 1, b'p', b'i', b'n', b'g'];
    let (family, protocol, request, answer) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
    };
    let socket = rustix::net::socket(family, SocketType::DGRAM, Some(protocol)).expect("ping sockets");
    let socket = UdpSocket::from(socket);
    socket.connect(SocketAddr::new(to, 0)).expect("there is a way");
    let mut message = ECHO;
    message[0] = request;
    exchange(&socket, &message, within, |seen| seen.first() == Some(&answer))
}

/// The host there answers an echo request.
///
/// # Panics
/// If it does not.
pub fn ping(to: IpAddr) {
    assert!(ping_passes(to, SOON), "{to} does not answer");
}
