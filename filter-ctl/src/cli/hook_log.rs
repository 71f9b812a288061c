//! What a hook has to say when it must not fail: to standard error, and to the system's log.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where the system's log takes messages.
const LOG: &str = "/dev/log";
/// Facility `daemon`, severity `err` (RFC 3164).
const PRIORITY: u32 = 3 << 3 | 3;

/// Says it. That nobody listens is no failure.
pub fn tell(message: &str) {
    eprintln!("filter-ctl: {message}");
    let _ = send(Path::new(LOG), message);
}

fn send(log: &Path, message: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A log that is stuck must not hold up libvirt.
    socket.set_nonblocking(true)?;
    let line = message.replace(char::is_control, " ");
    socket.send_to(format!("<{PRIORITY}>filter-ctl[{}]: {line}", std::process::id()).as_bytes(), log)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(send(&path, "nobody listens").is_err());
        let log = UnixDatagram::bind(&path).unwrap();
        send(&path, "one\ntwo").unwrap();
        let mut bytes = [0; 200];
        let length = log.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert_eq!(line, format!("<27>filter-ctl[{}]: one two", std::process::id()));
    }
}
