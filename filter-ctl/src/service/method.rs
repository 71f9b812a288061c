//! The list of all methods, by name: what the daemon finds them in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserializer as _, Serialize};
use serde_json::Value;

use super::failure::{Failure, INVALID};
use super::{Access, Service};

/// A request: its fields are the method's parameters.
pub trait Method: Serialize + DeserializeOwned + fmt::Debug {
    /// Its name in the interface.
    const NAME: &'static str;
    /// What it asks for of whoever sends it.
    const ACCESS: Access;
    /// Whether it has to be the only one at work. All that change something do.
    const ALONE: bool = matches!(Self::ACCESS, Access::Change);
    /// What a caller gets who asks for more.
    const MORE: More = More::Nothing;
    /// What it comes to.
    type Reply: Serialize + DeserializeOwned + fmt::Debug;

    /// Does it.
    fn carry_out(self, service: &Service) -> Result<Self::Reply, Failure>;
}

/// What a caller gets who asks for more than one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// One reply all the same.
    Nothing,
    /// The method is carried out again and again.
    Again,
    /// Before the reply, others that say how far it is.
    Progress,
}

/// A method, as it is found by its name.
pub struct Methods {
    /// The name.
    pub name: &'static str,
    /// What it asks for of whoever sends it.
    pub access: Access,
    /// What a caller gets who asks for more.
    pub more: More,
    /// Reads the parameters, which are JSON, but for those of these names, and does it.
    pub run: fn(&Service, &str, &[&str]) -> Result<Value, Failure>,
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Methods")
            .field("name", &self.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Methods {
    const fn of<M: Method>() -> Self {
        Self { name: M::NAME, access: M::ACCESS, more: M::MORE, run: run::<M> }
    }
}

/// All methods.
pub static METHODS: &[Methods] = &[
    Methods::of::<super::DefineProfile>(),
    Methods::of::<super::CreateProfile>(),
    Methods::of::<super::UpdateProfile>(),
    Methods::of::<super::CopyProfile>(),
    Methods::of::<super::RemoveProfile>(),
    Methods::of::<super::ListProfiles>(),
    Methods::of::<super::DumpProfile>(),
    Methods::of::<super::ValidateProfiles>(),
    Methods::of::<super::ImportFilters>(),
    Methods::of::<super::Attach>(),
    Methods::of::<super::Detach>(),
    Methods::of::<super::ListPorts>(),
    Methods::of::<super::Bind>(),
    Methods::of::<super::Unbind>(),
    Methods::of::<super::ListStanding>(),
    Methods::of::<super::Stats>(),
    Methods::of::<super::ListFlows>(),
    Methods::of::<super::SummarizeFlows>(),
    Methods::of::<super::CutFlows>(),
    Methods::of::<super::ExportFlows>(),
    Methods::of::<super::ImportFlows>(),
    Methods::of::<super::GetTimeouts>(),
    Methods::of::<super::SetTimeouts>(),
    Methods::of::<super::ResetTimeouts>(),
    Methods::of::<super::CreateSet>(),
    Methods::of::<super::DestroySet>(),
    Methods::of::<super::AddToSet>(),
    Methods::of::<super::RemoveFromSet>(),
    Methods::of::<super::ReplaceSet>(),
    Methods::of::<super::ListSets>(),
    Methods::of::<super::ListMembers>(),
    Methods::of::<super::TestSet>(),
    Methods::of::<super::ListLog>(),
    Methods::of::<super::GetLogEntry>(),
    Methods::of::<super::RollBack>(),
    Methods::of::<super::RestoreProfile>(),
    Methods::of::<super::DiffProfiles>(),
    Methods::of::<super::SavePort>(),
    Methods::of::<super::RestorePort>(),
    Methods::of::<super::Diagnose>(),
    Methods::of::<super::Repair>(),
    Methods::of::<super::GetBuilds>(),
    Methods::of::<super::Upgrade>(),
    Methods::of::<super::CheckDomain>(),
    Methods::of::<super::AttachDomain>(),
    Methods::of::<super::ReattachDomain>(),
    Methods::of::<super::VerifyDomain>(),
    Methods::of::<super::ReleaseDomain>(),
    Methods::of::<super::Compile>(),
    Methods::of::<super::Explain>(),
];

fn run<M: Method>(service: &Service, parameters: &str, without: &[&str]) -> Result<Value, Failure> {
    let method: M =
        read(parameters, without).map_err(|error| Failure::new(INVALID, format!("{}: {error}", M::NAME)))?;
    let reply = method.carry_out(service)?;
    serde_json::to_value(reply).map_err(|error| Failure::new(1, format!("{}: {error}", M::NAME)))
}

/// Reads what a method takes out of its parameters, which may have others, of these names. It does so as they come: what
/// is made of them is no larger than the method's own type.
fn read<M: DeserializeOwned>(parameters: &str, without: &[&str]) -> serde_json::Result<M> {
    let mut json = serde_json::Deserializer::from_str(parameters);
    let method = json.deserialize_any(Taken { without, method: PhantomData })?;
    json.end()?;
    Ok(method)
}

/// What a method takes.
struct Taken<'a, M> {
    without: &'a [&'a str],
    method: PhantomData<M>,
}

impl<'de, M: DeserializeOwned> Visitor<'de> for Taken<'_, M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<M, A::Error> {
        M::deserialize(MapAccessDeserializer::new(Fields { fields, without: self.without }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<M, A::Error> {
        M::deserialize(SeqAccessDeserializer::new(values))
    }
}

/// Fields of an object, but for those of these names.
struct Fields<'a, A> {
    fields: A,
    without: &'a [&'a str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.fields.next_key::<String>()? {
            if self.without.contains(&name.as_str()) {
                self.fields.next_value::<IgnoredAny>()?;
            } else {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn parameters_are_read_without_those_that_are_not_the_methods() {
        #[derive(Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Takes {
            port: String,
            #[serde(default)]
            every: Option<u64>,
        }
        let takes = |every| Takes { port: "vm0".to_owned(), every };
        let read =
            |json: &str, without: &[&str]| read::<Takes>(json, without).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"port":"vm0","every":3}"#, &[]), Ok(takes(Some(3))));
        assert_eq!(read(r#"{"every":[{}],"port":"vm0","every":"x"}"#, &["every"]), Ok(takes(None)));
        assert_eq!(read(r#"{"ev\u0065ry":3,"p\u006frt":"vm0"}"#, &["every"]), Ok(takes(None)));
        for (json, message) in [
            (r#"{"port":"vm0","force":1}"#, "unknown field `force`"),
            (r#"{"every":3}"#, "missing field `port`"),
            (r#"{"port":"vm0"} 1"#, "trailing characters"),
            (r#"{"port":"vm0""#, "EOF"),
            ("3", "invalid type"),
            ("[]", "invalid length"),
        ] {
            let found = read(json, &["every"]).expect_err("it makes no sense");
            assert!(found.contains(message), "{json}: {found}");
        }
    }
}
