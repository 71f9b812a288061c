//! What libvirt reads otherwise than it is written.

macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// A way in which libvirt reads something else than a document says: it drops, widens or replaces it,
        /// and says nothing. This is all of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Defect {
            $($(#[$doc])* $name,)+
        }

        impl Defect {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// A word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

defects! {
    /// An attribute that its element does not have: ignored.
    UnknownAttribute = "unknown-attribute",
    /// An element that does not belong where it stands: ignored.
    UnknownElement = "unknown-element",
    /// A second element where one is read: ignored.
    RepeatedElement = "repeated-element",
    /// A namespace: ignored, so that names in it mean what they mean without it.
    Namespace = "namespace",
    /// An element of another protocol than the first in its rule: ignored.
    OtherProtocol = "other-protocol",
    /// A rule with elements of which none is a protocol's: it is about every frame.
    NoProtocol = "no-protocol",
    /// A rule's priority that is no number, or out of range: replaced by 500.
    RulePriority = "rule-priority",
    /// A priority of a filter that names no chain: ignored.
    PriorityWithoutChain = "priority-without-chain",
    /// `statematch` with another value than `0`, `1`, `false` and `true`: on.
    StateMatch = "statematch",
    /// `match` with another value than `yes` and `no`: positive.
    Match = "match",
    /// `match='no'` on an element that says nothing: ignored.
    NegatedNothing = "negated-nothing",
    /// An attribute that an earlier element of the rule has too: the last one is used.
    RepeatedAttribute = "repeated-attribute",
    /// A truth value other than `true`, `1`, `yes`, `false`, `0` and `no`: false.
    Boolean = "boolean",
    /// A remark of more than 256 bytes: cut.
    CutText = "cut-text",
    /// A number below zero: 2³² is added to it.
    NegativeNumber = "negative-number",
    /// A part of an IPv4 address that begins with a zero: read as octal.
    OctalAddress = "octal-address",
    /// An IPv4 address of fewer than four parts: filled with zeros before its last part.
    ShortAddress = "short-address",
    /// Text behind a variable's `]`: ignored.
    VariableTail = "variable-tail",
    /// A variable for what is not looked up when the rule is made: it matches whatever there is.
    UnusedVariable = "unused-variable",
    /// `state` without a state in it: it says nothing.
    EmptyStates = "empty-states",
    /// `NONE` among states: the others are dropped.
    NoneAmongStates = "none-among-states",
    /// A mask, or an end of a range, without what it adds to: ignored.
    Dangling = "dangling",
    /// An ICMP code without a type: ignored.
    CodeWithoutType = "code-without-type",
    /// A range of addresses beside an address: ignored.
    RangeBesideAddress = "range-beside-address",
    /// A range that ends before it begins.
    ReversedRange = "reversed-range",
    /// A mask, a code, or an end of a range, under another `match` than what it adds to: that one's is used.
    SplitNegation = "split-negation",
    /// Destination ports under another `match` than the source ports: those' is used.
    PortNegation = "port-negation",
    /// A set on another element than `all` and `all-ipv6`: dropped, or the rule cannot be made.
    IpsetElsewhere = "ipset-elsewhere",
    /// A set without what is looked up in it, or the other way round: it matches whatever there is.
    IpsetIncomplete = "ipset-incomplete",
    /// A set under `match='no'`: it is read as `match='yes'`.
    IpsetNegated = "ipset-negated",
    /// `flags` on `tcp-ipv6`: ignored.
    FlagsOverIpv6 = "flags-over-ipv6",
    /// The last destination address of a range, over IPv6: an IPv4 address is taken, an IPv6 address is refused.
    RangeEndFamily = "range-end-family",
    /// A parameter without name or value, or with characters that they do not have: dropped.
    SkippedParameter = "skipped-parameter",
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
