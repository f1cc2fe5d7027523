//! The rules in force: the default table and the user's own, which only narrow.

use crate::rules::{Case, Rule, default_rules};
use crate::{NO_RULE, Request, Verdict};
use serde::{Deserialize, Serialize};

/// Most rules that a user may add.
pub const USER_RULES_MAX: usize = 200;
/// Longest name of a rule, and longest reason, in bytes.
const NAME_BYTES_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 1_000;

/// The rules in force. Reading them checks them: a rule that is wrong is an
/// error, never a rule that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Settings {
    default: Vec<Rule>,
    user: Vec<Rule>,
}

/// A rule of the user that cannot be in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// More than [`USER_RULES_MAX`].
    #[error("there are {0} policy rules, more than the {USER_RULES_MAX} that can be kept")]
    TooMany(usize),
    /// The name is empty, too long, or has other characters than these.
    #[error(
        "the policy rule name {0:?} cannot be used: take up to {NAME_BYTES_MAX} lower-case \
         letters, digits and hyphens"
    )]
    Name(String),
    /// Two rules have this name.
    #[error("the policy rule name \"{0}\" is taken: give the rule another one")]
    Taken(String),
    /// The reason is empty or too long.
    #[error(
        "the policy rule \"{0}\" needs a reason of 1 to {REASON_BYTES_MAX} bytes: it is what you \
         read when the rule decides"
    )]
    Reason(String),
    /// It would allow something.
    #[error(
        "the policy rule \"{0}\" says \"allow\", but rules can only narrow: \"ask\" or \"deny\""
    )]
    Widens(String),
    /// An example is missing.
    #[error(
        "the policy rule \"{0}\" needs at least one example under `matches` and one under \
         `must_not_match`"
    )]
    NoExamples(String),
    /// The rule is silent about one of its `matches`.
    #[error(
        "the policy rule \"{name}\" does not match its own example {} on {}: change `when` or \
         `matches`", .case.effect, .case.place
    )]
    Silent {
        /// The rule.
        name: String,
        /// The example.
        case: Case,
    },
    /// The rule speaks about one of its `must_not_match`.
    #[error(
        "the policy rule \"{name}\" matches {} on {}, which stands under `must_not_match`: \
         change `when` or the example", .case.effect, .case.place
    )]
    Speaks {
        /// The rule.
        name: String,
        /// The example.
        case: Case,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self { default: default_rules(), user: Vec::new() }
    }
}

impl Settings {
    /// The default table and rules of the user, or the first rule that is wrong.
    pub fn new(user: Vec<Rule>) -> Result<Self, SettingsError> {
        if user.len() > USER_RULES_MAX {
            return Err(SettingsError::TooMany(user.len()));
        }
        let mut settings = Self::default();
        for rule in user {
            check_rule(&rule)?;
            let taken = rule.name == NO_RULE || settings.rules().any(|old| old.name == rule.name);
            if taken {
                return Err(SettingsError::Taken(rule.name));
            }
            settings.user.push(rule);
        }
        Ok(settings)
    }

    /// Every rule in force, the user's first: where two are equally strict, the
    /// user's gives the decision its name.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.user.iter().chain(&self.default)
    }

    /// The rules that speak about a request.
    pub fn matching(&self, request: &Request) -> impl Iterator<Item = &Rule> {
        self.rules().filter(|rule| rule.when.matches(request))
    }
}

impl TryFrom<Vec<Rule>> for Settings {
    type Error = SettingsError;
    fn try_from(user: Vec<Rule>) -> Result<Self, SettingsError> {
        Self::new(user)
    }
}

impl From<Settings> for Vec<Rule> {
    fn from(settings: Settings) -> Self {
        settings.user
    }
}

fn check_rule(rule: &Rule) -> Result<(), SettingsError> {
    let name = || rule.name.clone();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if rule.name.is_empty() || rule.name.len() > NAME_BYTES_MAX || !rule.name.chars().all(plain) {
        return Err(SettingsError::Name(rule.name.chars().take(NAME_BYTES_MAX).collect()));
    }
    if rule.reason.trim().is_empty() || rule.reason.len() > REASON_BYTES_MAX {
        return Err(SettingsError::Reason(name()));
    }
    if rule.verdict == Verdict::Allow {
        return Err(SettingsError::Widens(name()));
    }
    if rule.matches.is_empty() || rule.must_not_match.is_empty() {
        return Err(SettingsError::NoExamples(name()));
    }
    match rule.contradicted() {
        Some((case, true)) => Err(SettingsError::Silent { name: name(), case }),
        Some((case, false)) => Err(SettingsError::Speaks { name: name(), case }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    fn rule(change: Value) -> Value {
        let mut rule = json!({
            "name": "no-programs",
            "verdict": "deny",
            "reason": "No programs on this machine.",
            "when": {"effects": ["exec"]},
            "matches": [{"effect": "exec", "place": "workspace", "sandbox": "full"}],
            "must_not_match": [{"effect": "read", "place": "workspace"}],
        });
        let fields = change.as_object().unwrap().clone();
        rule.as_object_mut().unwrap().extend(fields);
        rule
    }

    fn check(rules: Value, expect: Expect) {
        let found = match serde_json::from_value::<Settings>(rules) {
            Ok(settings) => format!("{} of the user", settings.user.len()),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&found);
    }

    #[test]
    fn a_good_rule_is_in_force() {
        check(json!([rule(json!({}))]), expect!["1 of the user"]);
        let settings: Settings = serde_json::from_value(json!([rule(json!({}))])).unwrap();
        let case: Case = serde_json::from_value(
            json!({"effect": "exec", "place": "workspace", "sandbox": "full"}),
        )
        .unwrap();
        let decision = crate::decide(&settings, &case.request());
        assert_eq!((decision.verdict, &*decision.rule), (Verdict::Deny, "no-programs"));
        assert_eq!(crate::decide(&Settings::default(), &case.request()).verdict, Verdict::Allow);
    }

    #[test]
    fn where_no_rule_speaks_the_answer_is_no() {
        let empty = Settings { default: Vec::new(), user: Vec::new() };
        let case: Case =
            serde_json::from_value(json!({"effect": "read", "place": "workspace"})).unwrap();
        let decision = crate::decide(&empty, &case.request());
        assert_eq!((decision.verdict, &*decision.rule), (Verdict::Deny, NO_RULE));
    }

    #[test]
    fn a_rule_that_widens_is_an_error() {
        check(
            json!([rule(json!({"verdict": "allow"}))]),
            expect![[
                r#"the policy rule "no-programs" says "allow", but rules can only narrow: "ask" or "deny""#
            ]],
        );
    }

    #[test]
    fn a_rule_that_contradicts_its_examples_is_an_error() {
        check(
            json!([rule(json!({"when": {"effects": ["network"]}}))]),
            expect![[
                r#"the policy rule "no-programs" does not match its own example exec on workspace: change `when` or `matches`"#
            ]],
        );
        check(
            json!([rule(json!({"when": {}}))]),
            expect![[
                r#"the policy rule "no-programs" matches read on workspace, which stands under `must_not_match`: change `when` or the example"#
            ]],
        );
        check(
            json!([rule(json!({"must_not_match": []}))]),
            expect![[
                r#"the policy rule "no-programs" needs at least one example under `matches` and one under `must_not_match`"#
            ]],
        );
    }

    #[test]
    fn a_name_must_be_plain_and_free() {
        check(
            json!([rule(json!({"name": "Über\nall"}))]),
            expect![[
                r#"the policy rule name "Über\nall" cannot be used: take up to 64 lower-case letters, digits and hyphens"#
            ]],
        );
        check(
            json!([rule(json!({"name": "change"}))]),
            expect![[r#"the policy rule name "change" is taken: give the rule another one"#]],
        );
        check(
            json!([rule(json!({})), rule(json!({}))]),
            expect![[r#"the policy rule name "no-programs" is taken: give the rule another one"#]],
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let unknown = |value| {
            let error = serde_json::from_value::<Settings>(value).unwrap_err().to_string();
            assert!(error.contains("unknown"), "{error}");
        };
        unknown(json!([rule(json!({"wen": {}}))]));
        unknown(json!([rule(json!({"when": {"effects": ["telepathy"]}}))]));
        unknown(json!([rule(json!({"when": {"place": ["secret"]}}))]));
        unknown(json!([rule(json!({"verdict": "maybe"}))]));
    }

    #[test]
    fn a_reason_is_needed_and_rules_are_bounded() {
        let blank = serde_json::from_value::<Vec<Rule>>(json!([rule(json!({"reason": " "}))]));
        assert_eq!(Settings::new(blank.unwrap()), Err(SettingsError::Reason("no-programs".into())));
        let one: Rule = serde_json::from_value(rule(json!({}))).unwrap();
        let many = vec![one; USER_RULES_MAX + 1];
        assert_eq!(Settings::new(many), Err(SettingsError::TooMany(USER_RULES_MAX + 1)));
    }
}
