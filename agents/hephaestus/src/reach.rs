//! Where a call's reading goes, told from its arguments alone: what policy needs
//! to know before anything is read.

use crate::workspace::{looks_secret, paths};
use charter::ports::Reach;
use charter::tool::ErrorCode;
use serde_json::Value;

/// Arguments that name what is read.
const READ_FROM: [&str; 6] = ["files", "path", "from", "left", "right", "cwd"];
/// Arguments that name what is only written.
const WRITTEN_TO: [&str; 2] = ["to", "outputs"];

/// Named paths that look like secrets or lie outside the workspace.
pub(crate) fn reach(args: &Value) -> Reach {
    let mut reach = Reach::default();
    let mut note = |text: &str, read: bool| {
        if matches!(paths::normal(text), Err(error) if error.code == ErrorCode::Outside) {
            reach.outside.push(text.to_owned());
        }
        if read && looks_secret(text) {
            reach.secrets.push(text.to_owned());
        }
    };
    for (keys, read) in [(&READ_FROM[..], true), (&WRITTEN_TO[..], false)] {
        for value in keys.iter().filter_map(|key| args.get(key)) {
            match value {
                Value::String(text) => note(text, read),
                Value::Array(values) => {
                    values.iter().filter_map(Value::as_str).for_each(|text| note(text, read));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
            }
        }
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(args: Value, secrets: &[&str], outside: &[&str]) {
        let found = reach(&args);
        assert_eq!(found.secrets, secrets);
        assert_eq!(found.outside, outside);
    }

    #[test]
    fn secrets_and_places_outside_are_named() {
        check(json!({"files": ["a.md", ".env", "/etc/passwd"]}), &[".env"], &["/etc/passwd"]);
        check(json!({"path": "**/*.pem", "to": "../x"}), &["**/*.pem"], &["../x"]);
        check(json!({"to": "credentials.json"}), &[], &[]);
        check(json!({"left": "a", "text": "/etc/passwd"}), &[], &[]);
        check(json!(["/etc/passwd"]), &[], &[]);
    }
}
