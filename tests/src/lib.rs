//! Tests on real taps in network namespaces; see `tests/`.
