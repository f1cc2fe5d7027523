//! Formats of JSON Schema: which texts have them.
//!
//! The grammar engine knows most; here are patterns of those it does not know, and for
//! every one a text that has it, to end an answer with. A format that no standard
//! defines says nothing about the text (JSON Schema 2020-12, validation, section 7).

/// A format.
pub(super) struct Format {
    /// Its name.
    pub(super) name: &'static str,
    /// Its pattern; `None`: the grammar engine knows it.
    pub(super) pattern: Option<&'static str>,
    /// A short text that has it.
    pub(super) example: &'static str,
}

/// A pointer of RFC 6901.
macro_rules! pointer {
    () => {
        "(?:/(?:[^~/]|~[01])*)*"
    };
}

/// What may follow the scheme of a URI (RFC 3986), with its percent signs.
macro_rules! rest {
    () => {
        "(?:[a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*"
    };
}

const fn known(name: &'static str, example: &'static str) -> Format {
    Format { name, pattern: None, example }
}

const fn own(name: &'static str, pattern: &'static str, example: &'static str) -> Format {
    Format { name, pattern: Some(pattern), example }
}

/// All formats.
const FORMATS: [Format; 18] = [
    known("date-time", "2000-01-01T00:00:00Z"),
    known("time", "00:00:00Z"),
    known("date", "2000-01-01"),
    known("duration", "P1D"),
    known("email", "a@a"),
    known("hostname", "a"),
    known("ipv4", "1.1.1.1"),
    known("ipv6", "::"),
    known("uuid", "00000000-0000-0000-0000-000000000000"),
    known("uri", "a:"),
    own("json-pointer", concat!("^", pointer!(), "$"), ""),
    own("relative-json-pointer", concat!("^(?:0|[1-9][0-9]*)(?:#|", pointer!(), ")$"), "0"),
    own(
        "uri-reference",
        concat!(
            "^(?:[a-zA-Z][a-zA-Z0-9+.-]*:",
            rest!(),
            "|(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|%[0-9a-fA-F]{2})*(?:[/?]",
            rest!(),
            ")?",
            ")(?:#",
            rest!(),
            ")?$"
        ),
        "",
    ),
    own("iri", r#"^[a-zA-Z][a-zA-Z0-9+.-]*:[^\s<>"{}|\\^`]*$"#, "a:"),
    own("iri-reference", r#"^[^\s<>"{}|\\^`]*$"#, ""),
    own("uri-template", r#"^(?:[^\s<>"{}|\\^`]|\{[^\s{}]+\})*$"#, ""),
    own("idn-email", r"^[^\s@]+@[^\s@]+$", "a@a"),
    own("idn-hostname", r"^[^\s.]+(?:\.[^\s.]+)*$", "a"),
];

/// The format of this name, if a standard defines it.
pub(super) fn of(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}
