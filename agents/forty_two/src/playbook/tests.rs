//! Playbooks from missions, with a planner that is told what to answer.

use super::*;
use crate::planner::{Names, Piece};
use crate::testing::{mission, plan, planned, survey};
use charter::effect::EffectClass;
use charter::survey::Survey;
use charter::tool::Limits;
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use std::sync::Arc;

/// Plans as by hand whatever was done by hand, if a playbook is there.
struct Told {
    missions: Vec<Mission>,
    /// Wishes that it plans wrongly with the new playbook.
    wrong: Vec<&'static str>,
    /// Whether another playbook takes each new wish.
    drawn_away: bool,
}

impl Planner for Told {
    fn plan(&self, own: Option<&str>, wish: &str, _: &Survey) -> Outcome {
        let wrong = own.is_some() && self.wrong.contains(&wish);
        // A new wish is planned like the mission whose file it names.
        let named = |m: &&Mission| {
            let path = m.plan.steps.last().and_then(|step| step.args["path"].as_str());
            own.is_some() && path.is_some_and(|path| wish.ends_with(path))
        };
        let known = self.missions.iter().find(|m| m.wish == wish);
        let found = known.or_else(|| self.missions.iter().find(named));
        match found {
            Some(_) if wrong => Outcome::Plan(Box::new(plan(wish, Vec::new()))),
            Some(_) if known.is_none() && self.drawn_away => {
                Outcome::Plan(Box::new(plan(wish, Vec::new())))
            }
            Some(m) if own.is_some() || m.wish.starts_with("sort") => {
                Outcome::Plan(Box::new(m.plan.clone()))
            }
            _ => Outcome::Refused("nothing does that".to_owned()),
        }
    }

    fn read(&self, wish: &str, _: &Survey) -> Reading {
        let mut at = 0;
        let pieces = wish.split(' ').map(|word| {
            let (start, end) = (at, at + word.len());
            at = end + 1;
            let files = ["pics", "docs", "music"].contains(&word);
            let number = word.parse::<f64>().is_ok();
            Piece {
                start,
                end,
                folded: word.to_lowercase(),
                content: word.len() > 3,
                concepts: Vec::new(),
                names: match (files, number) {
                    (true, _) => Names::Files,
                    (_, true) => Names::Number,
                    _ => Names::Nothing,
                },
            }
        });
        Reading { language: "en".to_owned(), pieces: pieces.collect() }
    }

    fn flaws(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn is_taken(&self, name: &str) -> bool {
        name == "learned-sums"
    }
}

fn specs() -> Vec<ToolSpec> {
    let spec = |name: &str, effect, properties: Value| ToolSpec {
        name: name.to_owned(),
        version: 1,
        summary: String::new(),
        effect,
        args: json!({ "type": "object", "properties": properties }),
        output: String::new(),
        undo: String::new(),
        limits: Limits::default(),
        asks_model: false,
    };
    let files = json!({ "type": ["array", "string"] });
    vec![
        spec(
            "hash",
            EffectClass::Read,
            json!({ "files": files, "least": { "type": "number" }, "style": { "type": "string", "default": "list" } }),
        ),
        spec(
            "write",
            EffectClass::Create,
            json!({ "path": { "type": "string" }, "title": { "type": "string" } }),
        ),
    ]
}

fn by_hand(wish: &str, files: &str, least: u32, output: &str) -> Mission {
    let mut one = mission(&format!("m-{output}"), wish);
    one.plan = plan(
        wish,
        vec![
            planned(1, "hash", EffectClass::Read, json!({ "files": [files], "least": least })),
            planned(
                2,
                "write",
                EffectClass::Create,
                json!({ "path": output, "text": "${1.rows}" }),
            ),
        ],
    );
    one.plan.answer = Some(format!("The sums stand in {output}."));
    one.survey = Arc::new(survey(&["pics/a.jpg", "docs/b.pdf", "music/c.mp3"]));
    one
}

fn three() -> Vec<Mission> {
    vec![
        by_hand("hash pics above 5 into a.md", "pics/*.jpg", 5, "a.md"),
        by_hand("write sums of docs larger than 7 to b.md", "docs/*.pdf", 7, "b.md"),
        by_hand("the sums for music over 9 in c.md", "music/*.mp3", 9, "c.md"),
    ]
}

fn made(missions: Vec<Mission>, wrong: Vec<&'static str>) -> (Vec<Proposal>, Vec<String>) {
    let planner = Told { missions: missions.clone(), wrong, drawn_away: false };
    let found = propose(&missions, &BTreeSet::new(), &specs(), &planner);
    (found.made, found.not_made)
}

fn check(missions: Vec<Mission>, wrong: Vec<&'static str>, expect: Expect) {
    let (made, not_made) = made(missions, wrong);
    let told: Vec<String> = made
        .iter()
        .map(|proposal| format!("{} {}", proposal.name, proposal.evidence.told()))
        .chain(not_made)
        .collect();
    expect.assert_eq(&told.join("\n"));
}

#[test]
fn what_varies_becomes_slots_and_examples() {
    let (made, _) = made(three(), Vec::new());
    expect![[r##"
        # Learned from 3 missions; see `alma proposals list`.
        name: learned-sums-2
        version: 1
        summary: "Hash files above a number into a file."
        examples:
          en:
            - "hash {files} above {number} into {output}"
            - "write sums of {files} larger than {number} to {output}"
            - "the sums for {files} over {number} in {output}"
        rules:
          all:
            - ["hash", "sums", "above", "into", "larger", "over", "than", "write"]
        slots:
          output: {"type":"new-file","ext":["md"],"ask":"Into which file?"}
          files: {"type":"files","ask":"Which files?"}
          number: {"type":"number","cues":["above","over","than"],"ask":"How many?"}
        steps:
          - title: "Use hash"
            tool: hash
            args: {"files":"{{files}}","least":"{{number}}"}
          - title: "Use write"
            tool: write
            args: {"path":"{{output}}","text":"${1.rows}"}
        answer: "The sums stand in {{output}}."
    "##]]
    .assert_eq(&made[0].text);
}

#[test]
fn three_missions_speak_for_a_playbook_and_two_do_not() {
    check(
        three(),
        Vec::new(),
        expect![
            "learned-sums-2 made from 3 missions. From words alone it plans 3 of 3 of them, 3 of 3 that it was not made from, and 6 of 6 in new words."
        ],
    );
    check(three()[1..].to_vec(), Vec::new(), expect![""]);
    // The same wish three times is one.
    check(vec![three().remove(0), three().remove(0), three().remove(0)], Vec::new(), expect![""]);
}

#[test]
fn a_playbook_that_plans_its_own_missions_wrongly_is_not_proposed() {
    check(
        three(),
        vec!["the sums for music over 9 in c.md"],
        expect![
            "3 missions that use hash, write are alike, but a playbook made from them plans only 2 of 3 rightly from their words"
        ],
    );
}

#[test]
fn a_playbook_that_takes_other_wishes_is_not_proposed() {
    let mut missions = three();
    let mut other = mission("m-other", "sort a.txt");
    other.plan.source = PlanSource::Playbook { name: "table-sort".to_owned(), version: 1 };
    missions.push(other);
    check(
        missions,
        vec!["sort a.txt"],
        expect![
            "3 missions that use hash, write are alike, but a playbook made from them would plan 1 of your other wishes otherwise than now"
        ],
    );
}

#[test]
fn what_differs_without_a_word_for_it_makes_no_playbook() {
    let mut missions = three();
    for (i, mission) in missions.iter_mut().enumerate() {
        mission.plan.steps[0].args["least"] = json!(11 + i);
    }
    check(
        missions,
        Vec::new(),
        expect![[
            r#"3 missions that use hash, write are alike, but "least" differs between them and no word says how"#
        ]],
    );
}

#[test]
fn what_was_proposed_before_is_not_proposed_again() {
    let (first, _) = made(three(), Vec::new());
    let known = BTreeSet::from([first[0].chain.clone()]);
    let planner = Told { missions: three(), wrong: Vec::new(), drawn_away: false };
    assert!(propose(&three(), &known, &specs(), &planner).made.is_empty());
}

/// Three missions of which each has its own heading and one says so in its words.
fn optional() -> Vec<Mission> {
    let mut missions = three();
    for (mission, title) in missions.iter_mut().zip(["Pictures", "pics", "My songs"]) {
        mission.plan.steps[1].args["title"] = json!(title);
        mission.plan.steps[1].title = format!("Write {title}");
    }
    // Written out, what is so anyway; and nothing for people to read in one of them.
    missions[0].plan.steps[0].args["style"] = json!("list");
    missions[1].plan.steps[1].args["title"].take();
    missions[2].plan.answer = None;
    missions
}

#[test]
fn what_differs_in_names_and_in_what_may_be_left_out_is_alike() {
    let (made, not_made) = made(optional(), Vec::new());
    assert_eq!((made.len(), not_made), (1, Vec::new()));
    let text = &made[0].text;
    assert!(!text.contains("style") && !text.contains("songs"), "{text}");
    assert_eq!(made[0].evidence.replayed, Share { right: 3, of: 3 });
}

#[test]
fn a_heading_that_is_another_in_each_follows_from_the_files() {
    let mut missions = three();
    for (mission, title) in missions.iter_mut().zip(["pics/*.jpg", "docs/*.pdf", "music/*.mp3"]) {
        mission.plan.steps[1].args["title"] = json!(title);
    }
    let (made, _) = made(missions, Vec::new());
    // The slot alone would be its value, which is a list.
    assert!(made[0].text.contains(r#""title":"From {{files}}""#), "{}", made[0].text);
}

#[test]
fn what_only_some_ask_for_becomes_an_optional_slot() {
    let mut missions = three();
    missions[0].wish = "hash pics into a.md".to_owned();
    if let Some(args) = missions[0].plan.steps[0].args.as_object_mut() {
        args.shift_remove("least");
    }
    let (made, not_made) = made(missions, Vec::new());
    assert!(not_made.is_empty(), "{not_made:?}");
    assert!(
        made[0]
            .text
            .contains(r#"number: {"type":"number","cues":["over","than"],"optional":true}"#),
        "{}",
        made[0].text
    );
    assert!(made[0].text.contains("hash {files} into {output}"), "{}", made[0].text);
}

#[test]
fn a_playbook_that_no_new_wish_reaches_is_not_proposed() {
    let planner = Told { missions: three(), wrong: Vec::new(), drawn_away: true };
    let found = propose(&three(), &BTreeSet::new(), &specs(), &planner);
    assert!(found.made.is_empty());
    assert!(found.not_made[0].contains("a new wish in their words"), "{:?}", found.not_made);
}

#[test]
fn what_is_planned_from_words_already_needs_no_playbook_and_that_is_said() {
    let mut missions = three();
    for (i, mission) in missions.iter_mut().enumerate() {
        mission.wish = format!("sort pics {i}");
        mission.plan.source = PlanSource::Playbook { name: "table-sort".to_owned(), version: 1 };
    }
    let planner = Told { missions: missions.clone(), wrong: Vec::new(), drawn_away: false };
    let found = propose(&missions, &BTreeSet::new(), &specs(), &planner);
    assert!(found.made.is_empty() && found.not_made.is_empty());
    assert_eq!(
        found.needless,
        ["What you ask for most in plain words has its playbook already: table-sort."]
    );
    // The same by file: the words alone would have done.
    for mission in &mut missions {
        mission.plan.source = PlanSource::File;
    }
    let planner = Told { missions: missions.clone(), wrong: Vec::new(), drawn_away: false };
    let found = propose(&missions, &BTreeSet::new(), &specs(), &planner);
    assert!(found.made.is_empty() && found.needless[0].starts_with("3 missions by file"));
}
