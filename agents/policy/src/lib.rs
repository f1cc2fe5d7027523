//! The only producer of a [`Decision`]: may this effect happen?
//!
//! A decision is a pure function of the [`Settings`] and a [`Request`]. Rules are
//! a table of data ([`rules`]): every rule that matches speaks, and the strictest
//! wins. Where no rule speaks, the answer is no. The user's own rules
//! ([`settings`]) can only make an answer stricter.
//!
//! An effect that may be tried again is asked about again, and [`narrow`] keeps
//! the stricter of the two answers: a permit once given never grows.

pub mod rules;
pub mod settings;

pub use rules::{Case, Rule, When};
pub use settings::{Settings, SettingsError};

use charter::effect::EffectClass;
use charter::label::Label;
use charter::tool::SandboxLevel;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of the rule that speaks where no other does.
pub const NO_RULE: &str = "no-rule";

/// What an effect touches, as policy sees it. A change that touches several
/// places is asked about once for each, and the answers are narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Nothing outside the arguments.
    Nowhere,
    /// A file or folder below the workspace.
    Workspace,
    /// A file in the workspace that holds exactly what Alma last wrote there, and
    /// that shall be written anew. Deleting it, or moving another file onto it,
    /// is a change of the [`Place::Workspace`] like any other.
    OwnWork,
    /// A file that matches the secret patterns, wherever it is.
    Secret,
    /// Another folder than the workspace.
    Elsewhere,
    /// Alma's own data folder.
    DataFolder,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 6] = [
        Self::Nowhere,
        Self::Workspace,
        Self::OwnWork,
        Self::Secret,
        Self::Elsewhere,
        Self::DataFolder,
    ];

    /// Its name in rules and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nowhere => "nowhere",
            Self::Workspace => "workspace",
            Self::OwnWork => "own_work",
            Self::Secret => "secret",
            Self::Elsewhere => "elsewhere",
            Self::DataFolder => "data_folder",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is asked of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    /// The class of the effect.
    pub class: EffectClass,
    /// What it touches.
    pub place: Place,
    /// Trust and sensitivity of its arguments.
    pub label: Label,
    /// Containment in force, for a program. A program of which nobody says how it
    /// is contained counts as not contained.
    pub sandbox: Option<SandboxLevel>,
}

/// The answer, from mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// A person decides, on this very effect.
    Ask,
    /// It must not happen.
    Deny,
}

impl Verdict {
    /// Its name in rules and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Policy's word on one effect. Only this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The rule that decided: of several equally strict ones the first.
    pub rule: String,
    /// Why, for the person who is asked: the reasons of every rule that is as
    /// strict as the answer.
    pub reason: String,
}

/// May this effect happen? The strictest rule that matches decides; where none
/// matches, it may not.
pub fn decide(settings: &Settings, request: &Request) -> Decision {
    let spoken: Vec<&Rule> = settings.matching(request).collect();
    let Some(verdict) = spoken.iter().map(|rule| rule.verdict).max() else {
        return Decision {
            verdict: Verdict::Deny,
            rule: NO_RULE.to_owned(),
            reason: format!(
                "No rule speaks of the effect \"{}\" on the place \"{}\", and what no rule \
                 allows is denied.",
                request.class, request.place
            ),
        };
    };
    let deciding: Vec<&Rule> = spoken.into_iter().filter(|rule| rule.verdict == verdict).collect();
    Decision {
        verdict,
        rule: deciding.first().map_or_else(String::new, |rule| rule.name.to_string()),
        reason: deciding.iter().map(|rule| &*rule.reason).collect::<Vec<_>>().join(" "),
    }
}

/// The decision that holds when the same effect was decided on before, or when it
/// touches two places: the stricter, and of equally strict ones the first.
pub fn narrow(first: &Decision, now: &Decision) -> Decision {
    if now.verdict > first.verdict { now.clone() } else { first.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::label::{Sensitivity, Trust};
    use expect_test::expect_file;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    const LABELS: [(Label, &str); 4] = [
        (Label::TRUSTED, "trusted"),
        (Label::UNTRUSTED, "untrusted"),
        (Label { trust: Trust::Trusted, sensitivity: Sensitivity::Secret }, "trusted secret"),
        (Label { trust: Trust::Untrusted, sensitivity: Sensitivity::Secret }, "untrusted secret"),
    ];
    const SANDBOXES: [SandboxLevel; 3] =
        [SandboxLevel::Full, SandboxLevel::Restricted, SandboxLevel::None];

    fn block(out: &mut String, title: &str, class: EffectClass, sandbox: Option<SandboxLevel>) {
        let settings = Settings::default();
        writeln!(out, "\n{title}").unwrap();
        let row = |out: &mut String, cells: [String; 5]| {
            let line = format!(
                "  {:<13}{:<26}{:<26}{:<26}{}",
                cells[0], cells[1], cells[2], cells[3], cells[4]
            );
            writeln!(out, "{}", line.trim_end()).unwrap();
        };
        let labels = LABELS.map(|(_, name)| name.to_owned());
        let [a, b, c, d] = labels;
        row(out, [String::new(), a, b, c, d]);
        for place in Place::ALL {
            let [a, b, c, d] = LABELS.map(|(label, _)| {
                let decision = decide(&settings, &Request { class, place, label, sandbox });
                format!("{} {}", decision.verdict, decision.rule)
            });
            row(out, [place.to_string(), a, b, c, d]);
        }
    }

    #[test]
    fn decisions_are_the_reviewed_ones() {
        let mut out = String::from(
            "Every decision of the default policy: effect × place × label (× sandbox for exec).\n\
             A cell is the verdict and the rule that decided. Rules, first to last:\n\n",
        );
        for rule in rules::default_rules() {
            writeln!(out, "  {:<6}{:<20}{}", rule.verdict, rule.name, rule.reason).unwrap();
        }
        for class in EffectClass::ALL {
            if class == EffectClass::Exec {
                for level in SANDBOXES {
                    let title = format!("exec, sandbox {}", level.as_str());
                    block(&mut out, &title, class, Some(level));
                }
                block(&mut out, "exec, sandbox not stated", class, None);
            } else {
                block(&mut out, class.as_str(), class, None);
            }
        }
        expect_file!["../golden/decisions.txt"].assert_eq(&out);
    }

    fn check(class: EffectClass, place: Place, label: Label, expect: (Verdict, &str)) {
        let sandbox = (class == EffectClass::Exec).then_some(SandboxLevel::Full);
        let found = decide(&Settings::default(), &Request { class, place, label, sandbox });
        assert_eq!((found.verdict, found.rule.as_str()), expect, "{class} {place} {label:?}");
    }

    #[test]
    fn overwriting_asks_except_for_her_own_untouched_work() {
        let change = EffectClass::Change;
        check(change, Place::Workspace, Label::TRUSTED, (Verdict::Ask, "change"));
        check(change, Place::OwnWork, Label::TRUSTED, (Verdict::Allow, "own-work"));
        check(change, Place::OwnWork, Label::UNTRUSTED, (Verdict::Allow, "own-work"));
    }

    #[test]
    fn untrusted_arguments_ask_where_trusted_ones_are_allowed() {
        let exec = EffectClass::Exec;
        check(exec, Place::Workspace, Label::TRUSTED, (Verdict::Allow, "exec-contained"));
        check(exec, Place::Workspace, Label::UNTRUSTED, (Verdict::Ask, "untrusted-act"));
        let change = EffectClass::Change;
        check(change, Place::Workspace, Label::UNTRUSTED, (Verdict::Ask, "untrusted-change"));
    }

    #[test]
    fn reading_asks_for_secrets_and_other_folders_only() {
        let read = EffectClass::Read;
        check(read, Place::Workspace, Label::UNTRUSTED, (Verdict::Allow, "read"));
        check(read, Place::Secret, Label::TRUSTED, (Verdict::Ask, "secret-file"));
        check(read, Place::Elsewhere, Label::TRUSTED, (Verdict::Ask, "elsewhere"));
    }

    #[test]
    fn every_reason_of_the_winning_strictness_is_told() {
        let request = Request {
            class: EffectClass::Exec,
            place: Place::Workspace,
            label: Label::UNTRUSTED,
            sandbox: Some(SandboxLevel::None),
        };
        let reason = decide(&Settings::default(), &request).reason;
        assert!(reason.contains("not contained"), "{reason}");
        assert!(reason.contains("text that Alma read"), "{reason}");
    }

    fn any_request() -> impl Strategy<Value = Request> {
        (
            prop::sample::select(EffectClass::ALL.to_vec()),
            prop::sample::select(Place::ALL.to_vec()),
            prop::sample::select(LABELS.to_vec()),
            prop::sample::select(vec![
                None,
                Some(SandboxLevel::None),
                Some(SandboxLevel::Restricted),
                Some(SandboxLevel::Full),
            ]),
        )
            .prop_map(|(class, place, (label, _), sandbox)| Request {
                class,
                place,
                label,
                sandbox,
            })
    }

    fn case(request: Request) -> Case {
        Case {
            effect: request.class,
            place: request.place,
            trust: request.label.trust,
            sensitivity: request.label.sensitivity,
            sandbox: request.sandbox,
        }
    }

    fn any_user_rule() -> impl Strategy<Value = Rule> {
        (any_request(), any_request(), prop::bool::ANY, prop::bool::ANY).prop_filter_map(
            "an example that must not match has to exist",
            |(one, other, by_class, deny)| {
                let when = When {
                    effects: if by_class { vec![one.class] } else { vec![] },
                    places: if by_class { vec![] } else { vec![one.place] },
                    ..When::default()
                };
                (!when.matches(&other)).then(|| Rule {
                    name: "mine".into(),
                    verdict: if deny { Verdict::Deny } else { Verdict::Ask },
                    reason: "I said so.".into(),
                    when,
                    matches: vec![case(one)],
                    must_not_match: vec![case(other)],
                })
            },
        )
    }

    proptest! {
        /// Written as sentences, independent of the table.
        #[test]
        fn only_what_is_known_to_be_harmless_is_allowed(request in any_request()) {
            use EffectClass::{Change, Create, Exec, Memory, Read, Think};
            let Request { class, place, label, sandbox } = request;
            let harmless_place = matches!(place, Place::Nowhere | Place::Workspace | Place::OwnWork);
            let trusted = label.trust == Trust::Trusted;
            let private = label.sensitivity == Sensitivity::Private;
            let harmless = harmless_place && match class {
                Think | Read => true,
                Memory => trusted && private,
                Create => private && place != Place::Nowhere,
                Change => private && place == Place::OwnWork,
                Exec => trusted && private && sandbox == Some(SandboxLevel::Full),
                _ => false,
            };
            let decision = decide(&Settings::default(), &request);
            prop_assert_eq!(decision.verdict == Verdict::Allow, harmless, "{:?}", decision);
        }

        #[test]
        fn less_trust_more_secrecy_and_weaker_containment_never_help(request in any_request()) {
            let verdict = |request: &Request| decide(&Settings::default(), request).verdict;
            let Request { label, .. } = request;
            let worse = [
                Request { label: Label { trust: Trust::Untrusted, ..label }, ..request },
                Request { label: Label { sensitivity: Sensitivity::Secret, ..label }, ..request },
                Request { sandbox: Some(SandboxLevel::None), ..request },
            ];
            for worse in worse {
                prop_assert!(verdict(&worse) >= verdict(&request), "{:?}", worse);
            }
        }

        #[test]
        fn the_data_folder_is_always_denied(request in any_request(), rule in any_user_rule()) {
            let request = Request { place: Place::DataFolder, ..request };
            let settings = Settings::new(vec![rule]).unwrap();
            prop_assert_eq!(decide(&settings, &request).verdict, Verdict::Deny);
        }

        #[test]
        fn a_rule_of_the_user_never_widens(request in any_request(), rule in any_user_rule()) {
            let plain = decide(&Settings::default(), &request).verdict;
            let settings = Settings::new(vec![rule.clone()]).unwrap();
            let ruled = decide(&settings, &request).verdict;
            let expected = if rule.when.matches(&request) { plain.max(rule.verdict) } else { plain };
            prop_assert_eq!(ruled, expected);
        }

        #[test]
        fn narrowing_only_narrows(all in prop::collection::vec(any_request(), 1..8)) {
            let settings = Settings::default();
            let decisions: Vec<_> = all.iter().map(|request| decide(&settings, request)).collect();
            let mut held = decisions[0].clone();
            for now in &decisions {
                let next = narrow(&held, now);
                prop_assert!(next.verdict >= held.verdict && next.verdict >= now.verdict);
                prop_assert!(next == held || next == *now);
                held = next;
            }
            prop_assert_eq!(held.verdict, decisions.iter().map(|d| d.verdict).max().unwrap());
        }
    }
}
