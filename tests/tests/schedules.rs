//! Schedules: the real binary, with due times that come, are missed, and come while
//! processes die.

use alma_tests::desk::block_on;
use alma_tests::rig::Now;
use alma_tests::shell::{Out, Shell, ended};
use alma_tests::sim::fate::Dice;
use alma_tests::web::Server;
use charter::event::Event;
use charter::ids::{Millis, ScheduleId, StreamId, TenantId, TransitionId};
use charter::ports::{LeaseChange, Ledger, LedgerExt, Transition};
use charter::schedule::{Missed, ScheduleRow, Scheduled};
use hephaestus::process::me;
use ledger::{SqliteLedger, keys};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use surfaces::bench::child::now;

const ALMA: &str = env!("CARGO_BIN_EXE_alma-counting");
const SALES: &str = "region,amount\nnorth,3\nsouth,4\nnorth,5\n";
const TOTAL: &str = "total sales.csv per region and write it to total.csv";
const YEARLY: &str = "30 0 1 1 *";
const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// How long anything may take.
const TIME: Duration = Duration::from_secs(150);

fn desk() -> Shell {
    let shell = Shell::new(ALMA);
    shell.put("sales.csv", SALES);
    shell.put("old.log", "gone soon");
    shell
}

/// Makes a schedule; gives its name and what was said.
#[track_caller]
fn new(shell: &Shell, code: i32, args: &[&str]) -> (String, Value) {
    let all = [&["--json", "schedules", "new"], args].concat();
    let made = shell.run(&all).says(code, &[]).json();
    (made["schedule"].as_str().unwrap().to_owned(), made)
}

fn shown(shell: &Shell, schedule: &str) -> Value {
    shell.run(&["--json", "schedules", "show", schedule]).says(0, &[]).json()
}

/// Outcomes of the due times that came, oldest first.
fn outcomes(shown: &Value) -> Vec<&str> {
    let due = shown["due"].as_array().unwrap().iter().rev();
    due.map(|due| due["outcome"].as_str().unwrap()).collect()
}

/// How the missions of due times stand, oldest first.
fn states(shown: &Value) -> Vec<&str> {
    let due = shown["due"].as_array().unwrap().iter().rev();
    due.filter_map(|due| due["mission_state"].as_str()).collect()
}

fn worker(shell: &Shell) -> Child {
    shell.command(&["worker"]).spawn().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// With a worker at work, waits until a schedule is as it should be.
#[track_caller]
fn until(shell: &Shell, schedule: &str, is: impl Fn(&Value) -> bool) -> Value {
    let worker = worker(shell);
    let began = Instant::now();
    let found = loop {
        let found = shown(shell, schedule);
        if is(&found) || began.elapsed() > TIME {
            break found;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    kill(worker);
    assert!(is(&found), "{found:#}");
    found
}

fn all_done(shown: &Value) -> bool {
    !states(shown).is_empty() && states(shown).iter().all(|state| *state == "done")
}

/// Puts a copy of a schedule on record whose next due time is long gone, as it is
/// when nothing ran for a while.
fn missed(shell: &Shell, of: &str, next_at: Millis, missed: Missed) -> String {
    let dice = Dice::new(u64::try_from(now()).unwrap() ^ u64::from(me().pid));
    let copy = ScheduleId::new(now(), &dice);
    let id = copy.clone();
    block_on(async {
        let key = keys::load(&shell.home().join("ledger.key")).unwrap();
        let file = shell.home().join("ledger.db");
        let ledger = SqliteLedger::open(&file, Arc::new(Now), key).await.unwrap();
        let row: ScheduleRow = ledger.record(&TenantId::local(), of).await.unwrap();
        let approved = row.approved;
        let created = Scheduled::Created {
            schedule: id.clone(),
            subject: row.subject,
            wish: row.wish,
            workspace: row.workspace,
            plan: row.plan,
            digest: row.digest,
            cron: row.cron,
            zone: row.zone,
            missed,
            next_at: approved.is_none().then_some(next_at),
        };
        let yes = approved.map(|approver| Scheduled::Approved {
            schedule: id.clone(),
            by: approver.by,
            seen: approver.seen,
            next_at,
        });
        let ends = Scheduled::Deleted { schedule: of.parse().unwrap() };
        let events = [Some(created), yes, Some(ends)].into_iter().flatten();
        let transition = Transition {
            id: TransitionId::new(now(), &dice),
            tenant: TenantId::local(),
            at: now(),
            fence: None,
            lease: LeaseChange::Keep,
            term: None,
            events: events.map(|event| (StreamId::admin(), Event::Scheduled(event))).collect(),
            contents: vec![],
        };
        ledger.commit(transition).await.unwrap();
        ledger.close().await.unwrap();
    });
    copy.to_string()
}

/// The beginning of an hour that is over.
fn hour(back: Millis) -> Millis {
    let now = now();
    now - now % HOUR - back * HOUR
}

#[test]
fn what_comes_is_shown_before_it_comes() {
    let shell = desk();
    let words = &format!("every weekday at eight {TOTAL}");
    let out = shell.run(&["schedules", "new", words, "--zone", "Europe/Berlin"]);
    out.says(
        0,
        &["today this would happen", "every weekday at 08:00 (Europe/Berlin)", " 08:00 · "],
    );
    assert!(!shell.work().join("total.csv").exists());
    let again = shell.run(&["schedules", "new", words, "--zone", "Europe/Berlin"]);
    again.says(1, &["this is scheduled already"]);
    let list = shell.run(&["--json", "schedules", "list"]).says(0, &[]).json();
    let [only] = list["schedules"].as_array().unwrap().as_slice() else { panic!("{list:#}") };
    assert_eq!((&only["cron"], &only["state"]), (&json!("0 8 * * 1-5"), &json!("active")));
    assert_eq!((&only["wish"], &only["zone"]), (&json!(TOTAL), &json!("Europe/Berlin")));
    shell.intact();
}

#[test]
fn what_cannot_be_scheduled_is_refused_with_the_reason() {
    let shell = desk();
    let refused = |code, args: &[&str], why: &str| {
        shell.run(&[&["schedules", "new"], args].concat()).says(code, &[why]);
    };
    refused(2, &[TOTAL], "I found no rhythm");
    refused(2, &["every 45 minutes", TOTAL], "do not fit evenly");
    refused(2, &["--cron", "0 8 * *", TOTAL], "it has 4 fields");
    refused(2, &["--cron", "0 0 30 2 *", TOTAL], "never comes");
    refused(2, &["--cron", "0 8 * * *", "--zone", "Mars/Base", TOTAL], "there is no time zone");
    refused(2, &["every day at 8"], "there is no wish");
    refused(5, &["every day at 8 make me a sandwich with cheese"], "");
    shell.run(&["schedules", "list"]).says(1, &["nothing is scheduled"]);
    shell.run(&["schedules", "show", "r-0000000000000000"]).says(1, &["was not found"]);
}

/// The clock itself brings the time: no copy, no shortcut.
#[test]
fn one_yes_covers_every_due_time() {
    let shell = desk();
    let (id, made) = new(&shell, 3, &["--cron", "* * * * *", "--zone", "UTC", "delete old.log"]);
    assert_eq!(
        (&made["state"], &made["effects"][0]["verdict"]),
        (&json!("waiting"), &json!("ask"))
    );
    let digest = made["digest"].as_str().unwrap();
    let other = &"0".repeat(64);
    shell.run(&["schedules", "approve", &id, "--digest", other]).says(1, &["look at it again"]);
    shell.run(&["schedules", "resume", &id]).says(1, &["waits for its approval"]);
    shell.run(&["schedules", "approve", &id, "--digest", digest]).says(0, &["active"]);
    shell.run(&["schedules", "approve", &id]).says(1, &["it cannot be approved"]);
    let found = until(&shell, &id, all_done);
    assert!(!shell.work().join("old.log").exists());
    assert_eq!(found["alerts"], json!([]), "{found:#}");
    shell.run(&["approvals", "list"]).says(1, &[]);
    // What was done in the person's name is on record, effect by effect.
    let all = shell.run(&["--json", "approvals", "list", "--all"]).says(0, &[]).json();
    let titles: Vec<&str> = all["approvals"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["title"].as_str())
        .collect();
    assert!(titles.iter().any(|title| title.contains("May I delete \"old.log\"?")), "{titles:?}");
    shell.intact();
}

#[test]
fn a_due_time_is_taken_once_whoever_dies() {
    let shell = desk();
    let (id, _) = new(&shell, 0, &["--cron", YEARLY, "--zone", "UTC", TOTAL]);
    let id = missed(&shell, &id, now() - 1_000, Missed::Once);
    // Each of these dies a little later than the one before: before it takes the
    // due time, while it does, or right behind.
    for n in 0..24 {
        let worker = worker(&shell);
        std::thread::sleep(Duration::from_millis(40 + 12 * n));
        kill(worker);
    }
    let found = until(&shell, &id, all_done);
    assert_eq!(outcomes(&found), ["ran"], "{found:#}");
    let missions = shell.run(&["--json", "mission", "list"]).says(0, &[]).json();
    assert_eq!(missions["missions"].as_array().unwrap().len(), 1, "{missions:#}");
    assert!(shell.work().join("total.csv").exists());
    shell.intact();
}

#[test]
fn missed_times_run_once_or_not_at_all_and_are_all_on_record() {
    let shell = desk();
    let (id, _) = new(&shell, 0, &["--cron", "0 * * * *", "--zone", "UTC", TOTAL]);
    let once = missed(&shell, &id, hour(5), Missed::Once);
    let found = until(&shell, &once, all_done);
    let (last, before) = (outcomes(&found).pop(), outcomes(&found).len() - 1);
    // One more where the hour ends just now.
    assert!(last == Some("ran") && (5..=6).contains(&before), "{found:#}");
    assert!(outcomes(&found)[..before].iter().all(|outcome| *outcome == "missed"), "{found:#}");
    let next = found["next_at"].as_i64().unwrap();
    assert!(next > now() && next % HOUR == 0);
    shell.run(&["schedules", "delete", &once]).says(0, &["deleted"]);

    let words = ["--cron", YEARLY, "--zone", "UTC", "count the words in sales.csv"];
    let (id, _) = new(&shell, 0, &words);
    let skip = missed(&shell, &id, hour(24 * 365 * 3), Missed::Skip);
    let found = until(&shell, &skip, |shown| shown["next_at"].as_i64().unwrap() > now());
    assert!(outcomes(&found).iter().all(|outcome| *outcome == "missed"), "{found:#}");
    assert_eq!(states(&found), [""; 0]);
    shell.intact();
}

#[test]
fn what_was_not_approved_parks_and_is_an_alert() {
    let shell = desk();
    let (id, _) = new(&shell, 0, &["--cron", YEARLY, "--zone", "UTC", TOTAL]);
    // A person wrote the file: what is in it would be lost.
    shell.put("total.csv", "my own words");
    let id = missed(&shell, &id, now() - 1_000, Missed::Once);
    let found = until(&shell, &id, |shown| states(shown) == ["waiting"]);
    let alert = found["alerts"][0]["text"].as_str().unwrap();
    assert!(alert.contains("waits for your answer"), "{found:#}");
    shell.run(&["schedules", "list"]).says(0, &["look   m-"]);
    shell.run(&["ask", "what is running?"]).says(0, &["waits for your answer"]);
    assert_eq!(std::fs::read_to_string(shell.work().join("total.csv")).unwrap(), "my own words");
    shell.intact();
}

#[test]
fn a_run_that_cannot_be_planned_is_on_record_and_the_next_one_comes() {
    let shell = desk();
    let (id, _) = new(&shell, 0, &["--cron", YEARLY, "--zone", "UTC", TOTAL]);
    let id = missed(&shell, &id, now() - 1_000, Missed::Once);
    std::fs::rename(shell.work(), shell.beside("away")).unwrap();
    std::fs::create_dir(shell.work()).unwrap();
    let found = until(&shell, &id, |shown| outcomes(shown) == ["failed"]);
    assert!(found["alerts"][0]["text"].as_str().unwrap().contains("sales.csv"), "{found:#}");
    assert!(found["next_at"].as_i64().unwrap() > now());
}

#[test]
fn paused_it_rests_and_resumed_it_goes_on_from_now() {
    let shell = desk();
    let (id, _) = new(&shell, 0, &["every minute", TOTAL]);
    shell.run(&["schedules", "pause", &id]).says(0, &["paused"]);
    shell.run(&["schedules", "pause", &id]).says(1, &["is paused, so it cannot be paused"]);
    assert_eq!(shown(&shell, &id)["next_at"], Value::Null);
    shell.run(&["schedules", "resume", &id]).says(0, &["active"]);
    let next = shown(&shell, &id)["next_at"].as_i64().unwrap();
    assert!(next > now() - MINUTE && next <= now() + MINUTE);
    shell.run(&["schedules", "delete", &id]).says(0, &["deleted"]);
    shell.run(&["schedules", "resume", &id]).says(1, &["is deleted"]);
    shell.run(&["schedules", "list"]).says(1, &["nothing is scheduled"]);
}

/// Says lines to `alma` and gives the answers.
fn talk(shell: &Shell, said: &str) -> Vec<Value> {
    let mut child = shell.command(&["--json"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
    let out: Out = ended(child);
    out.says(0, &[]);
    let events = out.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == "complete").collect()
}

#[test]
fn it_is_arranged_in_conversation() {
    let shell = desk();
    let said = format!(
        "every weekday at eight {TOTAL}\nwhat is scheduled?\npause it\nresume it\n\
         every day at 9 delete old.log\nyes\nwhat is scheduled?\npause the total\n\
         delete the total\njeden Tag um zehn delete old.log\nno\n"
    );
    let answers = talk(&shell, &said);
    let texts: Vec<&str> = answers.iter().map(|a| a["answer"].as_str().unwrap()).collect();
    let has = |n: usize, what: &str| assert!(texts[n].contains(what), "{n}: {texts:#?}");
    has(0, "Scheduled every weekday at 08:00");
    has(1, TOTAL);
    has(2, "Paused");
    has(3, "goes on");
    has(4, "may it?");
    has(5, "Scheduled every day at 09:00");
    has(6, "2 things");
    has(7, "Paused");
    has(8, "Deleted");
    has(9, "may it?");
    has(10, "Dropped");
    assert_eq!(answers[4]["turn_state"], "asked");
    assert!(answers.iter().all(|answer| answer["route"] == "schedule"), "{answers:#?}");
    assert!(shell.work().join("old.log").exists());
    let list = shell.run(&["--json", "schedules", "list"]).says(0, &[]).json();
    assert_eq!(list["schedules"].as_array().unwrap().len(), 1, "{list:#}");
    shell.intact();
}

#[test]
fn over_http() {
    let shell = desk();
    let work = shell.work();
    shell.put_home("config.toml", format!("[http.workspaces]\nwork = {work:?}\n"));
    let server = Server::start(shell.command(&[]));
    let place = "/api/v1/schedules";
    let body =
        json!({ "words": format!("every day at 7 {TOTAL}"), "workspace": "work", "zone": "UTC" });
    let made = server.post(place, &body).is(200, "");
    let own = format!("{place}/{}", made["schedule"].as_str().unwrap());
    assert_eq!((&made["cron"], &made["missed"]), (&json!("0 7 * * *"), &json!("once")));
    server.post(place, &body).is(409, "conflict");
    server.post(place, &json!({ "words": "now", "workspace": "work" })).is(422, "invalid_request");
    assert_eq!(server.get(place).is(200, "")["schedules"].as_array().unwrap().len(), 1);
    assert_eq!(server.get(&own).is(200, "")["due"], json!([]));
    assert_eq!(server.post(&format!("{own}/pause"), &Value::Null).is(200, "")["state"], "paused");
    assert_eq!(server.post(&format!("{own}/resume"), &Value::Null).is(200, "")["state"], "active");
    server.post(&format!("{own}/approve"), &json!({})).is(409, "conflict");
    assert_eq!(server.ask("DELETE", &own, &[], b"").is(200, "")["state"], "deleted");
    server.ask("DELETE", &own, &[], b"").is(409, "conflict");
    server.ask("DELETE", place, &[], b"").is(405, "method_not_allowed");
    assert_eq!(server.stop(), Some(0));
}
