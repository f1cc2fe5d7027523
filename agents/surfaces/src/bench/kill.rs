//! `alma bench kill`: workers are killed at drawn moments while missions change
//! real files; what was lost or done twice is counted from the record and the
//! files.

use super::Progress;
use super::child::{BenchError, Durability, Stage};
use super::killing::{Field, Killing, Mission};
use super::measure::Figures;
use super::record::Phase;
use charter::digest::Digest;
use charter::ids::StepKey;
use charter::rows::MissionState;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files of each kind in one mission.
const WRITES: u32 = 8;
const MOVES: u32 = 12;
const COPIES: u32 = 12;
const DELETES: u32 = 12;
/// Lines of a written file: writing takes long enough to be interrupted.
const LINES: u32 = 4_000;

/// Measures.
pub(super) fn run(
    stage: &Stage,
    (kills, seed): (u32, u64),
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    let durability = stage.worker(None)?.durability()?;
    let files = Files { folder: stage.workspace().to_owned() };
    let mut killing = Killing::begin(stage, files, seed)?;
    for n in 0..kills {
        progress.tell(|| format!("kill {n} of {kills}"));
        killing.kill(|| Ok(()))?;
    }
    progress.say("letting the last mission end");
    let (missions, tally, files) = killing.settle()?;
    let mut lost = 0;
    let mut doubled = 0;
    let mut in_doubt = 0;
    let mut litter = 0;
    let mut steps = 0;
    for mission in &missions {
        let found = files.compare(mission.number)?;
        let ended = mission.record.ended().map(|(state, _)| state);
        lost += mission.record.unfinished() + found.missing;
        lost += usize::from(ended != Some(MissionState::Done));
        doubled += mission.record.doubled().len() + found.twice;
        doubled += mission.record.finished_twice().len();
        in_doubt += mission.record.doubts();
        litter += found.extra;
        steps += finished(mission);
    }
    let verify = stage.json(&["audit", "verify"])?;
    let intact = verify["findings"].as_array().is_some_and(Vec::is_empty);
    let phases: Map<String, Value> = Phase::ALL
        .iter()
        .map(|phase| {
            let hit = tally.by_phase.get(phase).copied().unwrap_or(0);
            (phase.as_str().to_owned(), json!(hit))
        })
        .collect();
    let mut figures = Figures::default();
    figures.set("runs", 1);
    figures.set("n", missions.len());
    figures.set("seed", seed);
    figures.set("kills", tally.kills);
    figures.set("owners", tally.owners);
    figures.set("steps", steps);
    figures.set("lost", lost);
    figures.set("doubled", doubled);
    figures.set("in_doubt", in_doubt);
    figures.set("litter", litter);
    figures.set("requeued", tally.requeued);
    figures.set("intact", intact);
    figures.set("by_phase", phases);
    figures.note(
        "two worker processes of one step each; one of them is killed (SIGKILL) and replaced, half \
         of the time at a moment drawn from the seed, half of the time when record and target show \
         that it may hit the phase that was hit least; owners: kills of the process that held the \
         data folder",
    );
    figures.note(
        "n missions write, move, copy (for_each) and delete (for_each, approved) files; kills that \
         are in no phase found nothing to do",
    );
    figures.note(
        "lost: steps without a result, missions that did not end as done, files that are not what \
         they should be; doubled: effects with two receipts, steps finished twice, files in two places; \
         litter: files \
         that nobody named",
    );
    figures.note("requeued: steps that lost three workers, and were sent round again");
    Ok((figures, durability))
}

fn finished(mission: &Mission) -> usize {
    let events = mission.record.events();
    events.filter(|event| matches!(event, charter::event::Event::StepFinished { .. })).count()
}

/// The files of each mission, in a folder of its own.
struct Files {
    folder: PathBuf,
}

/// How a mission's files differ from what they should be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    missing: usize,
    extra: usize,
    twice: usize,
}

impl Files {
    fn of(&self, number: u32) -> PathBuf {
        self.folder.join(format!("mission-{number}"))
    }

    /// Compares the files of a mission with what it should have left.
    fn compare(&self, number: u32) -> Result<Found, BenchError> {
        let folder = self.of(number);
        let mut left = BTreeMap::new();
        read(&folder, &folder, &mut left)?;
        Ok(difference(expected(number), left))
    }
}

fn difference(expected: BTreeMap<String, String>, mut left: BTreeMap<String, String>) -> Found {
    let mut found = Found::default();
    for (path, text) in expected {
        if left.remove(&path).is_none_or(|other| other != text) {
            found.missing += 1;
        }
    }
    for path in left.keys() {
        // The moved file still stands where it was.
        if path.starts_with("from/") {
            found.twice += 1;
        } else {
            found.extra += 1;
        }
    }
    found
}

fn read(folder: &Path, top: &Path, files: &mut BTreeMap<String, String>) -> Result<(), BenchError> {
    let failed =
        |source| BenchError::Io { operation: format!("read {}", folder.display()), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            read(&path, top, files)?;
        } else {
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, text);
        }
    }
    Ok(())
}

fn long(number: u32) -> String {
    (1..=LINES).map(|line| format!("line {line} of mission {number}\n")).collect()
}

/// What a mission leaves.
fn expected(number: u32) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([("long.txt".to_owned(), long(number))]);
    for i in 1..=WRITES {
        let text = format!("mission {number} file {i}\n{}", long(number));
        files.insert(format!("out/{i:02}.txt"), text);
    }
    for i in 1..=MOVES {
        files.insert(format!("to/{i:02}.txt"), format!("moved {number} {i}\n"));
    }
    for i in 1..=COPIES {
        files.insert(format!("each/{i:02}.txt"), format!("each {number} {i}\n"));
        files.insert(format!("copies/each/{i:02}.txt"), format!("copy of each/{i:02}.txt\n"));
    }
    files
}

impl Field for Files {
    fn prepare(&mut self, number: u32) -> Result<(Value, PathBuf), BenchError> {
        let folder = self.of(number);
        let put = |name: String, text: String| {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(&folder);
            std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text)).map_err(
                |source| BenchError::Io { operation: format!("write {}", path.display()), source },
            )
        };
        for i in 1..=MOVES {
            put(format!("from/{i:02}.txt"), format!("moved {number} {i}\n"))?;
        }
        for i in 1..=COPIES {
            put(format!("each/{i:02}.txt"), format!("each {number} {i}\n"))?;
        }
        for i in 1..=DELETES {
            put(format!("old/{i:02}.txt"), format!("old {number} {i}\n"))?;
        }
        put("long.txt".to_owned(), long(number))?;
        Ok((plan(number), folder))
    }

    fn shows(&self, number: u32) -> u64 {
        let folder = self.of(number);
        let files = |name: &str| {
            std::fs::read_dir(folder.join(name)).map_or(0, |entries| entries.count() as u64)
        };
        let made: u64 = ["out", "to", "copies/each"].into_iter().map(files).sum();
        // Deleted files are effects too.
        made + u64::from(DELETES).saturating_sub(files("old"))
    }

    fn happened(&self, number: u32, step: &StepKey, _: &Digest) -> bool {
        let at = |name: String| self.of(number).join(name).exists();
        match place(step) {
            Place::Write(i) => at(format!("out/{i:02}.txt")),
            Place::Move(i) => at(format!("to/{i:02}.txt")),
            Place::Copy(i) => at(format!("copies/each/{i:02}.txt")),
            Place::Delete(i) => !at(format!("old/{i:02}.txt")),
            Place::Other => false,
        }
    }
}

/// What a step of [`plan`] does.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Write(u32),
    Move(u32),
    Copy(u32),
    Delete(u32),
    Other,
}

fn place(step: &StepKey) -> Place {
    let (copies, deletes) = (2, 4);
    match (step.n, step.item) {
        (n, item) if n == copies && item > 0 => Place::Copy(item),
        (n, item) if n == deletes && item > 0 => Place::Delete(item),
        (n, 0) if (6..6 + WRITES).contains(&n) => Place::Write(n - 5),
        (n, 0) if (6 + WRITES..6 + WRITES + MOVES).contains(&n) => Place::Move(n - 5 - WRITES),
        _ => Place::Other,
    }
}

fn plan(number: u32) -> Value {
    let mut steps = vec![
        json!({ "name": "each", "tool": "list", "args": { "files": "each/*" } }),
        json!({
            "tool": "write",
            "args": { "path": "copies/${item.path}", "text": "copy of ${item.path}\n" },
            "for_each": { "items": "${each.files}", "max_items": COPIES },
        }),
        json!({ "name": "old", "tool": "list", "args": { "files": "old/*" } }),
        json!({
            "tool": "delete",
            "args": { "path": "${item.path}" },
            "for_each": { "items": "${old.files}", "max_items": DELETES },
        }),
        json!({ "name": "long", "tool": "read", "args": { "path": "long.txt" } }),
    ];
    for i in 1..=WRITES {
        let text = format!("mission {number} file {i}\n${{long.text}}");
        let args = json!({ "path": format!("out/{i:02}.txt"), "text": text });
        steps.push(json!({ "tool": "write", "args": args }));
    }
    for i in 1..=MOVES {
        let args = json!({ "from": format!("from/{i:02}.txt"), "to": format!("to/{i:02}.txt") });
        steps.push(json!({ "tool": "move", "args": args }));
    }
    json!({ "goal": format!("change files ({number})"), "steps": steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_by_its_place_in_the_plan() {
        let plan = plan(1);
        let tool = |n: u32| plan["steps"][n as usize - 1]["tool"].as_str().unwrap().to_owned();
        let mission = "m-0000000000000000".parse().unwrap();
        for n in 1..=5 + WRITES + MOVES {
            let step = StepKey::step(&mission, n);
            let expected = match place(&step) {
                Place::Write(_) => "write",
                Place::Move(_) => "move",
                Place::Copy(_) | Place::Delete(_) => panic!("{n} is no instance"),
                Place::Other if matches!(n, 2 | 4) => &tool(n),
                Place::Other if n == 5 => "read",
                Place::Other => "list",
            };
            assert_eq!(tool(n), expected, "step {n}");
        }
        assert_eq!(place(&StepKey::step(&mission, 2).instance(7)), Place::Copy(7));
        assert_eq!(place(&StepKey::step(&mission, 4).instance(1)), Place::Delete(1));
    }

    fn check(change: impl FnOnce(&mut BTreeMap<String, String>), found: Found) {
        let mut left = expected(1);
        change(&mut left);
        assert_eq!(difference(expected(1), left), found);
    }

    #[test]
    fn what_is_missing_extra_or_in_two_places_is_told_apart() {
        let text = String::new;
        check(|_| {}, Found::default());
        check(
            |left| {
                left.remove("to/01.txt");
            },
            Found { missing: 1, ..Found::default() },
        );
        check(
            |left| {
                left.insert("out/01.txt".into(), text());
            },
            Found { missing: 1, ..Found::default() },
        );
        check(
            |left| {
                left.insert("x".into(), text());
            },
            Found { extra: 1, ..Found::default() },
        );
        check(
            |left| {
                left.insert("from/01.txt".into(), text());
            },
            Found { twice: 1, ..Found::default() },
        );
        check(
            |left| {
                left.insert("old/01.txt".into(), text());
            },
            Found { extra: 1, ..Found::default() },
        );
    }
}
