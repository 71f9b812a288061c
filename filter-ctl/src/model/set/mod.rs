//! Named sets: their names, what kinds there are, and what is in them.
//!
//! A set is kept beside the profiles that name it. Its members come and go while policies are in force; its name and
//! its kind stay.

mod kind;
mod member;
mod name;

pub use kind::SetKind;
pub use member::SetMember;
pub use name::SetName;
