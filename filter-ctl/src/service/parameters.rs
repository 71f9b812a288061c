//! What a method takes, read out of the JSON that was sent, as it comes: what is made of it is no larger than the method's
//! own type. As values of any kind it would be some thirty times as large as the text.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer as _;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

/// Reads what a method takes out of its parameters, which may have others, of these names.
pub(super) fn read<M: DeserializeOwned>(parameters: &str, without: &[&str]) -> serde_json::Result<M> {
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
