//! Templates for one line: `{field}` is a value, `{{` a bracket.

use super::DataError;

/// The fields that a template names.
pub(crate) fn fields(template: &str) -> Result<Vec<&str>, DataError> {
    Ok(pieces(template)?
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Field(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect())
}

/// A piece of a template.
pub(crate) enum Piece<'t> {
    /// Stands as it is.
    Text(&'t str),
    /// The value of a field.
    Field(&'t str),
}

/// The pieces of a template in order.
pub(crate) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, DataError> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        found.push(Piece::Text(&rest[..at]));
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('{') {
            found.push(Piece::Text("{"));
            rest = after;
            continue;
        }
        let Some(end) = after.find('}') else {
            return Err(DataError::whole(
                "a bracket { is opened and not closed; write {{ for a bracket",
            ));
        };
        found.push(Piece::Field(after[..end].trim()));
        rest = &after[end + 1..];
    }
    found.push(Piece::Text(rest));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_in_order() {
        assert_eq!(fields("{text} ({ file }:{line}) {{x}").unwrap(), ["text", "file", "line"]);
        assert_eq!(fields("plain").unwrap(), [""; 0]);
        assert!(fields("{open").is_err());
    }
}
