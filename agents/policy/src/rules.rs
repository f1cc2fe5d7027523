//! Rules as data, and the default table.

use crate::{Place, Request, Verdict};
use charter::effect::EffectClass::{
    self, Change, Create, Exec, External, Memory, Network, Read, Remote, Think,
};
use charter::label::{Label, Sensitivity, Trust};
use charter::tool::SandboxLevel;
use serde::{Deserialize, Serialize};

/// A rule: what it says, when, and examples that prove that it means it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in decisions and records.
    pub name: String,
    /// What it says.
    pub verdict: Verdict,
    /// Why, in a whole sentence.
    pub reason: String,
    /// When it speaks.
    pub when: When,
    /// Requests that it must speak about.
    pub matches: Vec<Case>,
    /// Requests that it must be silent about.
    pub must_not_match: Vec<Case>,
}

impl Rule {
    /// The first example that the rule contradicts: one of `matches` that it is
    /// silent about (`true`), or one of `must_not_match` that it speaks about
    /// (`false`).
    pub fn contradicted(&self) -> Option<(Case, bool)> {
        let silent = self.matches.iter().find(|case| !self.when.matches(&case.request()));
        let spoken = self.must_not_match.iter().find(|case| self.when.matches(&case.request()));
        silent.map(|case| (*case, true)).or(spoken.map(|case| (*case, false)))
    }
}

/// When a rule speaks: every condition that is given must hold. An empty list and
/// an absent value are no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// One of these effects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<EffectClass>,
    /// On one of these places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// With arguments that are exactly so trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// With arguments that are exactly so sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// With a program contained in one of these ways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sandbox: Vec<SandboxLevel>,
}

impl When {
    /// Whether it holds for a request.
    pub fn matches(&self, request: &Request) -> bool {
        let sandbox = request.sandbox.unwrap_or(SandboxLevel::None);
        (self.effects.is_empty() || self.effects.contains(&request.class))
            && (self.places.is_empty() || self.places.contains(&request.place))
            && self.trust.is_none_or(|trust| trust == request.label.trust)
            && self.sensitivity.is_none_or(|secret| secret == request.label.sensitivity)
            && (self.sandbox.is_empty() || self.sandbox.contains(&sandbox))
    }
}

/// A request as an example in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The effect.
    pub effect: EffectClass,
    /// The place.
    pub place: Place,
    /// Trust of the arguments.
    #[serde(default = "trusted")]
    pub trust: Trust,
    /// Sensitivity of the arguments.
    #[serde(default = "private")]
    pub sensitivity: Sensitivity,
    /// Containment of a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxLevel>,
}

fn trusted() -> Trust {
    Trust::Trusted
}

fn private() -> Sensitivity {
    Sensitivity::Private
}

impl Case {
    /// The request that it describes.
    pub fn request(&self) -> Request {
        Request {
            class: self.effect,
            place: self.place,
            label: Label { trust: self.trust, sensitivity: self.sensitivity },
            sandbox: self.sandbox,
        }
    }

    /// An effect on a place with the user's own words as arguments.
    fn of(effect: EffectClass, place: Place) -> Self {
        Self {
            effect,
            place,
            trust: Trust::Trusted,
            sensitivity: Sensitivity::Private,
            sandbox: None,
        }
    }

    fn untrusted(self) -> Self {
        Self { trust: Trust::Untrusted, ..self }
    }

    fn secret(self) -> Self {
        Self { sensitivity: Sensitivity::Secret, ..self }
    }

    fn contained(self, level: SandboxLevel) -> Self {
        Self { sandbox: Some(level), ..self }
    }
}

fn rule(
    name: &str,
    verdict: Verdict,
    reason: &str,
    when: When,
    matches: &[Case],
    must_not_match: &[Case],
) -> Rule {
    Rule {
        name: name.to_owned(),
        verdict,
        reason: reason.to_owned(),
        when,
        matches: matches.to_vec(),
        must_not_match: must_not_match.to_vec(),
    }
}

/// The default policy. Of rules that are equally strict the first gives its name
/// to the decision, so what a person should hear first stands first.
pub fn default_rules() -> Vec<Rule> {
    use Place::{DataFolder, Elsewhere, Nowhere, OwnWork, Secret, Workspace};
    use Verdict::{Allow, Ask, Deny};
    let any = When::default;
    let effects = |effects: &[EffectClass]| When { effects: effects.to_vec(), ..any() };
    let places = |places: &[Place]| When { places: places.to_vec(), ..any() };
    let on =
        |what: &[EffectClass], places: &[Place]| When { places: places.to_vec(), ..effects(what) };
    let run = Case::of(Exec, Workspace);
    vec![
        rule(
            "data-folder",
            Deny,
            "This is Alma's own data folder, which no mission may touch.",
            places(&[DataFolder]),
            &[Case::of(Read, DataFolder), Case::of(Think, DataFolder)],
            &[Case::of(Read, Elsewhere), Case::of(Change, OwnWork)],
        ),
        rule(
            "placeless",
            Deny,
            "A file is made or changed, but nobody says where.",
            on(&[Create, Change], &[Nowhere]),
            &[Case::of(Create, Nowhere), Case::of(Change, Nowhere)],
            &[Case::of(Read, Nowhere), Case::of(Create, Workspace)],
        ),
        rule(
            "secret-file",
            Ask,
            "The name of the file looks like a key, a password or another secret.",
            places(&[Secret]),
            &[Case::of(Read, Secret), Case::of(Change, Secret)],
            &[Case::of(Read, Workspace)],
        ),
        rule(
            "elsewhere",
            Ask,
            "This lies in another folder than the one the mission works in.",
            places(&[Elsewhere]),
            &[Case::of(Read, Elsewhere), Case::of(Create, Elsewhere)],
            &[Case::of(Create, Workspace)],
        ),
        rule(
            "exec-not-contained",
            Ask,
            "The program is not contained: it can do whatever you can do on this machine, \
             the network included.",
            When { sandbox: vec![SandboxLevel::None], ..effects(&[Exec]) },
            &[run, run.contained(SandboxLevel::None)],
            &[run.contained(SandboxLevel::Restricted), Case::of(Read, Workspace)],
        ),
        rule(
            "exec-restricted",
            Ask,
            "The program is contained only in part: this machine gives it no namespaces of \
             its own.",
            When { sandbox: vec![SandboxLevel::Restricted], ..effects(&[Exec]) },
            &[run.contained(SandboxLevel::Restricted)],
            &[run, run.contained(SandboxLevel::Full)],
        ),
        rule(
            "external",
            Ask,
            "Nobody here can undo this.",
            effects(&[External]),
            &[Case::of(External, Nowhere)],
            &[Case::of(Remote, Nowhere)],
        ),
        rule(
            "remote",
            Ask,
            "This acts on another machine.",
            effects(&[Remote]),
            &[Case::of(Remote, Nowhere)],
            &[Case::of(Network, Nowhere)],
        ),
        rule(
            "network",
            Ask,
            "This talks to another machine.",
            effects(&[Network]),
            &[Case::of(Network, Nowhere)],
            &[Case::of(Read, Workspace)],
        ),
        rule(
            "untrusted-act",
            Ask,
            "Its arguments come from text that Alma read, not from your words: look at them.",
            When { trust: Some(Trust::Untrusted), ..effects(&[Exec, Network, Remote, External]) },
            &[
                run.contained(SandboxLevel::Full).untrusted(),
                Case::of(External, Nowhere).untrusted(),
            ],
            &[run.contained(SandboxLevel::Full), Case::of(Create, Workspace).untrusted()],
        ),
        rule(
            "untrusted-change",
            Ask,
            "Bytes would be lost, and what is lost follows from text that Alma read, not from \
             your words: look at it.",
            When { trust: Some(Trust::Untrusted), ..on(&[Change], &[Workspace]) },
            &[Case::of(Change, Workspace).untrusted()],
            &[Case::of(Change, Workspace), Case::of(Change, OwnWork).untrusted()],
        ),
        rule(
            "change",
            Ask,
            "What the file holds now would be lost.",
            on(&[Change], &[Workspace]),
            &[Case::of(Change, Workspace)],
            &[Case::of(Change, OwnWork), Case::of(Create, Workspace)],
        ),
        rule(
            "secret-data",
            Ask,
            "What was read from a secret would be copied to another place.",
            When {
                sensitivity: Some(Sensitivity::Secret),
                ..effects(&[Memory, Create, Change, Exec, Network, Remote, External])
            },
            &[Case::of(Create, Workspace).secret(), Case::of(Change, OwnWork).secret()],
            &[Case::of(Create, Workspace), Case::of(Think, Nowhere).secret()],
        ),
        rule(
            "untrusted-memory",
            Ask,
            "Alma remembers your own words by herself, but this comes from text that she read.",
            When { trust: Some(Trust::Untrusted), ..on(&[Memory], &[Nowhere, Workspace, OwnWork]) },
            &[Case::of(Memory, Nowhere).untrusted()],
            &[Case::of(Memory, Nowhere)],
        ),
        rule(
            "think",
            Allow,
            "Thinking changes nothing.",
            on(&[Think], &[Nowhere, Workspace, OwnWork]),
            &[Case::of(Think, Nowhere).untrusted()],
            &[Case::of(Think, Elsewhere), Case::of(Read, Workspace)],
        ),
        rule(
            "read",
            Allow,
            "Reading in the workspace changes nothing.",
            on(&[Read], &[Nowhere, Workspace, OwnWork]),
            &[Case::of(Read, Workspace).untrusted()],
            &[Case::of(Read, Secret), Case::of(Read, Elsewhere)],
        ),
        rule(
            "memory",
            Allow,
            "These are your own words.",
            When { trust: Some(Trust::Trusted), ..on(&[Memory], &[Nowhere, Workspace, OwnWork]) },
            &[Case::of(Memory, Nowhere)],
            &[Case::of(Memory, Nowhere).untrusted()],
        ),
        rule(
            "create",
            Allow,
            "The name is free, so nothing is lost.",
            on(&[Create], &[Workspace, OwnWork]),
            &[Case::of(Create, Workspace).untrusted()],
            &[Case::of(Create, Elsewhere), Case::of(Change, Workspace)],
        ),
        rule(
            "own-work",
            Allow,
            "Alma made this file and nobody touched it since: writing it anew is like creating \
             it, whatever text it is composed from.",
            on(&[Change], &[OwnWork]),
            &[Case::of(Change, OwnWork).untrusted()],
            &[Case::of(Change, Workspace), Case::of(Exec, OwnWork)],
        ),
        rule(
            "exec-contained",
            Allow,
            "The program is contained: it has no network, and what it changes comes back as \
             effects of their own.",
            When {
                sandbox: vec![SandboxLevel::Full],
                ..on(&[Exec], &[Nowhere, Workspace, OwnWork])
            },
            &[run.contained(SandboxLevel::Full)],
            &[run, Case::of(Exec, Elsewhere).contained(SandboxLevel::Full)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_means_its_examples() {
        for rule in default_rules() {
            assert_eq!(rule.contradicted(), None, "{}", rule.name);
            assert!(!rule.matches.is_empty() && !rule.must_not_match.is_empty(), "{}", rule.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let rules = default_rules();
        let names: BTreeSet<_> = rules.iter().map(|rule| &rule.name).collect();
        assert_eq!(names.len(), rules.len());
    }

    #[test]
    fn a_contradicted_example_is_found() {
        let mut rule = default_rules().remove(0);
        let wrong = Case::of(Read, Place::Workspace);
        rule.matches.push(wrong);
        assert_eq!(rule.contradicted(), Some((wrong, true)));
        let mut rule = default_rules().remove(0);
        let wrong = Case::of(Read, Place::DataFolder);
        rule.must_not_match.push(wrong);
        assert_eq!(rule.contradicted(), Some((wrong, false)));
    }
}
