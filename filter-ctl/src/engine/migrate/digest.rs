//! What profiles say, in short: whether two hosts mean the same by a name.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::EngineError;
use crate::model::ProfileName;
use crate::resolve::closure;
use crate::store::{Binding, Profiles};
use crate::xml;

/// The namespace of digests among UUIDs of names.
const DIGESTS: Uuid = Uuid::from_u128(0x6d1e_7f0a_93b4_5c2e_8a61_04d7_c95b_3f28);

/// Digests of profiles, by their names: UUIDs, as text.
pub(super) type Digests = BTreeMap<String, String>;

/// Where the profiles of a state differ from those that are here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// The state has them, and this host has not, or cannot read them.
    pub missing: Vec<String>,
    /// They say something else here.
    pub other: Vec<String>,
}

/// Digests of all profiles that a binding leads to: of their XML in normal form, without UUIDs and remarks, which mean
/// nothing to a packet. It is SHA-1, as in UUIDs of version 5: against accidents, not against
/// whoever may write profiles.
pub(super) fn digests(profiles: &Profiles, binding: &Binding) -> Result<Digests, EngineError> {
    reached(profiles, binding)
        .map(|name| {
            let digest = digest(profiles, &name).ok_or_else(|| {
                EngineError::NotFound(format!(
                    "there is no profile `{name}`, or its file is damaged, although the port is held to it: define it \
                     anew, then save"
                ))
            })?;
            Ok((name.to_string(), digest))
        })
        .collect()
}

/// Holds what a state says of its profiles against those that are here.
pub(super) fn differences(profiles: &Profiles, state: &Digests) -> Differences {
    let mut differences = Differences::default();
    for (name, said) in state {
        let here = name.parse::<ProfileName>().ok().and_then(|name| digest(profiles, &name));
        match here {
            None => differences.missing.push(name.clone()),
            Some(here) if here != *said => differences.other.push(name.clone()),
            Some(_) => {}
        }
    }
    differences
}

fn reached<'a>(profiles: &'a Profiles, binding: &Binding) -> impl Iterator<Item = ProfileName> + use<'a> {
    // What is no name was refused when the port was attached.
    let names: Vec<ProfileName> = binding.profiles.iter().filter_map(|name| name.parse().ok()).collect();
    closure(profiles, &names).into_iter()
}

fn digest(profiles: &Profiles, name: &ProfileName) -> Option<String> {
    let (_, profile) = profiles.get(name)?;
    let text = xml::print_stored(&profile.meaning(), profiles.reading(name));
    Some(Uuid::new_v5(&DIGESTS, text.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Reading;

    fn with(texts: &[&str]) -> Profiles {
        let mut profiles = Profiles::shipped().unwrap();
        for text in texts {
            profiles.add(xml::parse(text, None, Reading::Strict).unwrap().profile);
        }
        profiles
    }

    fn binding(name: &str) -> Binding {
        let text = format!(
            "{{\"profiles\":[\"{name}\"],\"mac\":null,\"addresses\":[],\"parameters\":{{}},\"mode\":\"strict\",\
             \"fail\":\"closed\"}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    const OUTER: &str = "<filter name='outer'><filterref filter='inner'/></filter>";

    fn inner(uuid: &str, port: u16) -> String {
        format!(
            "<filter name='inner'>{uuid}<rule action='drop' direction='in'><tcp dstportstart='{port}'/></rule></filter>"
        )
    }

    #[test]
    fn what_is_referred_to_counts_and_uuids_do_not() {
        let here = with(&[OUTER, &inner("", 22)]);
        let state = digests(&here, &binding("outer")).unwrap();
        assert_eq!(state.keys().collect::<Vec<_>>(), ["inner", "outer"]);
        assert_eq!(differences(&here, &state), Differences::default());
        let named = inner("<uuid>5c2e8a61-04d7-495b-8f28-000000000001</uuid>", 22);
        assert_eq!(differences(&with(&[OUTER, &named]), &state), Differences::default());
        let other = differences(&with(&[OUTER, &inner("", 23)]), &state);
        assert_eq!((other.missing, other.other), (vec![], vec!["inner".to_owned()]));
        let missing = differences(&with(&[OUTER]), &state);
        assert_eq!((missing.missing, missing.other), (vec!["inner".to_owned()], vec![]));
        let error = digests(&with(&[OUTER]), &binding("outer")).unwrap_err();
        assert!(error.to_string().contains("`inner`"), "{error}");
    }
}
