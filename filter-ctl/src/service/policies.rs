//! What policies are compiled to, and what becomes of frames.

use filter_common::Direction;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, hex::Hex, serde_as};

use super::failure::{Failure, INVALID};
use super::{Access, Document, Method, Service};
use crate::datapath::LoadOptions;
use crate::engine::{self, Compiled, Explained, Explainer, FrameToExplain};
use crate::store::{Binding, Sets};

/// Compiles what a binding says, and attaches nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compile {
    /// The binding.
    pub binding: Binding,
    /// Profiles that come before the installed ones.
    #[serde(default)]
    pub among: Vec<Document>,
}

impl Method for Compile {
    const NAME: &'static str = "Compile";
    const ACCESS: Access = Access::Read;
    type Reply = Compiled;

    fn carry_out(self, service: &Service) -> Result<Compiled, Failure> {
        let profiles = service.profiles(&self.among)?;
        engine::compiled(&profiles, &self.binding).map_err(|error| service.failure(&error))
    }
}

/// So many frames are explained at once. A port's are while nobody may change anything; and each may depend on those before
/// it, by what was learned and which connections were begun, so they cannot be explained piece by piece.
const MOST_FRAMES: usize = 4096;

/// Says what becomes of frames, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Whose policy is asked.
    pub subject: Subject,
    /// The frames.
    pub frames: Vec<FrameOf>,
}

/// Whose policy is asked: a port's, or that of a binding.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subject {
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// In its place: the binding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Profiles that come before the installed ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub among: Vec<Document>,
}

/// A frame.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameOf {
    /// Its bytes, in hexadecimal where they travel.
    #[serde_as(as = "Hex")]
    pub hex: Vec<u8>,
    /// Which way it goes.
    #[serde_as(as = "DisplayFromStr")]
    pub dir: Direction,
}

/// What became of the frames.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanations {
    /// In the order of the request; of those before the first that failed.
    pub frames: Vec<Explained>,
    /// Why that one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Method for Explain {
    const NAME: &'static str = "Explain";
    const ACCESS: Access = Access::Read;
    const ALONE: bool = true;
    type Reply = Explanations;

    fn carry_out(self, service: &Service) -> Result<Explanations, Failure> {
        let Self { subject, frames } = self;
        if frames.len() > MOST_FRAMES {
            let message = format!(
                "{} frames: at most {MOST_FRAMES} can be explained at once; take a part of them (editcap -r of a capture)",
                frames.len()
            );
            return Err(Failure::new(INVALID, message));
        }
        let mut engine;
        let explainer = match (&subject.port, &subject.binding) {
            (Some(port), None) => {
                engine = service.engine_to_look()?;
                Explainer::for_port(&mut engine, port)
            }
            (None, Some(binding)) => {
                let profiles = service.profiles(&subject.among)?;
                let sets = Sets::new(&service.folders().sets);
                Explainer::for_binding(&profiles, &sets, binding, LoadOptions::default())
            }
            _ => return Err(Failure::new(2, "whose policy is asked? Name a port, or give a binding")),
        };
        let mut explainer = explainer.map_err(|error| service.failure(&error))?;
        let mut explanations = Explanations { frames: Vec::with_capacity(frames.len()), failure: None };
        for FrameOf { hex, dir } in frames {
            match explainer.explain(&FrameToExplain { bytes: hex, direction: dir }) {
                Ok(explained) => explanations.frames.push(explained),
                Err(error) => {
                    explanations.failure = Some(service.failure(&error));
                    break;
                }
            }
        }
        explainer.finish().map_err(|error| service.failure(&error.into()))?;
        Ok(explanations)
    }
}
