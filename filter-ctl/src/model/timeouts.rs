//! How long a connection is remembered after a packet of it: one number of seconds for each state it can be in.

use std::fmt;
use std::str::FromStr;

use super::ValueError;

/// Declares the timeouts, so that none is missing from [`Timeout::ALL`].
macro_rules! timeouts {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $seconds:literal;)+) => {
        /// What a connection, or a fragment's note, can be in: each has a timeout of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Timeout {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Timeout {
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
            /// All of them, in the order in which they are printed.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name, as users write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// How many seconds it is where nothing else was said.
            pub const fn default_seconds(self) -> u32 {
                match self {
                    $(Self::$name => $seconds,)+
                }
            }
        }
    };
}

timeouts! {
    /// TCP: a SYN was seen, or one each way.
    TcpSynSent = "tcp-syn-sent", 120;
    /// TCP: the SYN was answered.
    TcpSynRecv = "tcp-syn-recv", 60;
    /// TCP: both sides may send.
    TcpEstablished = "tcp-established", 432_000;
    /// TCP: one side has sent its FIN.
    TcpFinWait = "tcp-fin-wait", 120;
    /// TCP: that FIN was acknowledged.
    TcpCloseWait = "tcp-close-wait", 60;
    /// TCP: both sides have sent a FIN.
    TcpLastAck = "tcp-last-ack", 30;
    /// TCP: both were acknowledged.
    TcpTimeWait = "tcp-time-wait", 120;
    /// TCP: there was a RST.
    TcpClose = "tcp-close", 10;
    /// UDP and UDP-Lite: nobody has answered yet.
    Udp = "udp", 30;
    /// UDP and UDP-Lite: there was an answer.
    UdpStream = "udp-stream", 120;
    /// ICMP queries.
    Icmp = "icmp", 30;
    /// SCTP: INIT to COOKIE ECHO.
    SctpOpening = "sctp-opening", 10;
    /// SCTP: both sides may send.
    SctpEstablished = "sctp-established", 210;
    /// SCTP: SHUTDOWN or ABORT was seen.
    SctpClosing = "sctp-closing", 3;
    /// All other protocols.
    Generic = "generic", 600;
    /// The note of a first fragment that passed, for those that follow.
    Fragment = "fragment", 30;
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Timeout {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = Self::ALL.iter().copied().find(|timeout| timeout.name() == text);
        found.ok_or_else(|| ValueError::new(text, "the name of a timeout, such as `tcp-established`"))
    }
}

/// All timeouts, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts([u32; Timeout::COUNT]);

impl Timeouts {
    /// The longest, a year: with it the data path's clock still tells what is over from what is to come.
    pub const LONGEST: u32 = 31_536_000;

    /// One of them.
    pub const fn get(&self, timeout: Timeout) -> u32 {
        self.0[timeout as usize]
    }

    /// The same, but for one. `None` where that would be no time, or longer than [`Timeouts::LONGEST`].
    pub fn with(mut self, timeout: Timeout, seconds: u32) -> Option<Self> {
        self.0[timeout as usize] = seconds;
        (1..=Self::LONGEST).contains(&seconds).then_some(self)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let mut seconds = [0; Timeout::COUNT];
        for &timeout in Timeout::ALL {
            seconds[timeout as usize] = timeout.default_seconds();
        }
        Self(seconds)
    }
}

impl fmt::Display for Timeouts {
    /// `NAME=SECONDS` for each, with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, &timeout) in Timeout::ALL.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{timeout}={}", self.get(timeout))?;
        }
        Ok(())
    }
}

impl FromStr for Timeouts {
    type Err = ValueError;

    /// Those that are not named are the default ones.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        const EXPECTED: &str = "`NAME=SECONDS`, up to 31536000 seconds, with commas between several";
        let mut timeouts = Self::default();
        for one in text.split(',').filter(|_| !text.is_empty()) {
            let wrong = || ValueError::new(one, EXPECTED);
            let (name, seconds) = one.split_once('=').ok_or_else(wrong)?;
            let seconds = super::number::parse_number(seconds).ok_or_else(wrong)?;
            timeouts = timeouts.with(name.parse()?, seconds).ok_or_else(wrong)?;
        }
        Ok(timeouts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_trip() {
        for &timeout in Timeout::ALL {
            assert_eq!(timeout.to_string().parse(), Ok(timeout));
        }
        let changed = Timeouts::default().with(Timeout::Udp, 7).expect("seven seconds");
        for timeouts in [Timeouts::default(), changed] {
            assert_eq!(timeouts.to_string().parse(), Ok(timeouts));
        }
        assert_eq!("udp=7".parse(), Ok(changed));
        assert_eq!("".parse(), Ok(Timeouts::default()));
        assert!(Timeouts::default().to_string().starts_with("tcp-syn-sent=120,tcp-syn-recv=60,"));
    }

    #[test]
    fn what_is_no_timeout_is_refused() {
        for wrong in ["udp", "udp=", "udp=0", "udp=31536001", "udp=7,", "upd=7", "udp = 7", "udp=-1", ","] {
            assert!(wrong.parse::<Timeouts>().is_err(), "{wrong}");
        }
    }
}
