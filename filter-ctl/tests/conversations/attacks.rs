//! What somebody might try.
