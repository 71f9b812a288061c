//! A call, as it came in: its parameters stay the text they are until its method reads them into what it takes. As values of
//! any kind they would be some thirty times as large.

use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{EVERY, Error, IF_GENERATION};

/// Messages from this length on are read where nobody waits for it.
const LONG: usize = 64 << 10;

/// A call.
#[derive(Debug)]
pub(super) struct Request {
    /// Its method's name, with the interface's.
    pub(super) method: String,
    pub(super) parameters: Parameters,
    /// Whether there may be more than one reply.
    pub(super) more: bool,
    /// Whether there must not be any.
    pub(super) silent: bool,
}

impl Request {
    /// Reads a message.
    pub(super) async fn read(message: Vec<u8>) -> serde_json::Result<Self> {
        if message.len() < LONG {
            return Self::of(&message);
        }
        let read = tokio::task::spawn_blocking(move || Self::of(&message));
        read.await.unwrap_or_else(|error| Err(serde::de::Error::custom(error)))
    }

    fn of(message: &[u8]) -> serde_json::Result<Self> {
        /// As it is sent.
        #[derive(Deserialize)]
        struct Sent {
            method: String,
            parameters: Option<Box<RawValue>>,
            #[serde(default)]
            more: bool,
            #[serde(default)]
            oneway: bool,
        }
        let Sent { method, parameters, more, oneway } = serde_json::from_slice(message)?;
        Ok(Self { method, parameters: Parameters::new(parameters)?, more: more && !oneway, silent: oneway })
    }
}

/// What a method is called with.
#[derive(Debug)]
pub(super) struct Parameters {
    json: Option<Box<RawValue>>,
    common: Common,
}

impl Parameters {
    fn new(json: Option<Box<RawValue>>) -> serde_json::Result<Self> {
        let common = match &json {
            Some(json) if json.get().starts_with('{') => serde_json::from_str(json.get())?,
            _ => Common::default(),
        };
        Ok(Self { json, common })
    }

    /// All of them, as they were sent. Without parameters there are none, which is an object, too.
    pub(super) fn json(&self) -> &str {
        self.json.as_ref().map_or("{}", |json| json.get())
    }

    /// See [`IF_GENERATION`].
    pub(super) fn if_generation(&self) -> Result<Option<u64>, Error> {
        self.common.if_generation.number(IF_GENERATION)
    }

    /// See [`EVERY`].
    pub(super) fn every(&self) -> Result<Option<u64>, Error> {
        self.common.every.number(EVERY)
    }
}

/// A parameter that is a number, if it is there.
#[derive(Clone, Copy, Debug, Default)]
enum Number {
    #[default]
    Missing,
    Given(u64),
    /// Something is there that is none.
    Wrong,
}

impl Number {
    fn of(json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(None) => Self::Missing,
            Ok(Some(number)) => Self::Given(number),
            Err(_) => Self::Wrong,
        }
    }

    fn number(self, name: &str) -> Result<Option<u64>, Error> {
        match self {
            Self::Missing => Ok(None),
            Self::Given(number) => Ok(Some(number)),
            Self::Wrong => Err(Error::InvalidParameter { parameter: name.to_owned() }),
        }
    }
}

/// Parameters that are not of one method; all others are passed over.
#[derive(Debug, Default)]
struct Common {
    if_generation: Number,
    every: Number,
}

impl<'de> Deserialize<'de> for Common {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CommonOf)
    }
}

struct CommonOf;

impl<'de> Visitor<'de> for CommonOf {
    type Value = Common;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parameters: A) -> Result<Common, A::Error> {
        let mut common = Common::default();
        while let Some(name) = parameters.next_key::<String>()? {
            let number = match name.as_str() {
                IF_GENERATION => &mut common.if_generation,
                EVERY => &mut common.every,
                _ => {
                    parameters.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *number = Number::of(parameters.next_value::<&RawValue>()?.get());
        }
        Ok(common)
    }
}
