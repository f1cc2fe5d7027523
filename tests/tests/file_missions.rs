//! Missions by plain words that make, move, change and delete files, and the one
//! that runs a project's tests. Every time the folder may differ only in the
//! files that the report names.

use alma_tests::desk::{Desk, named};
use alma_tests::markdown::{columns, entries};
use alma_tests::rig::{Ended, changed, tree};
use charter::report::{FileFate, Report};
use charter::rows::MissionState;
use hephaestus::sandbox::{Host, Sandbox};
use hephaestus::{Hephaestus, tools};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// What became of each file: `fate path` or `moved path → to`.
fn fates(report: &Report) -> Vec<String> {
    let line = |file: &charter::report::FileLine| match (&file.fate, &file.to) {
        (FileFate::Moved, Some(to)) => format!("{} → {to}", file.path),
        (fate, _) => format!("{fate:?} {}", file.path).to_lowercase(),
    };
    report.files.iter().map(line).collect()
}

/// Each wish on a fresh copy of the folder, with what must become of which file;
/// then again in the same folder, where nothing is left to do.
#[track_caller]
fn check(folder: &str, wishes: &[&str], wanted: &[&str], verify: &dyn Fn(&Desk, &Report)) {
    for words in wishes {
        // Shown when the rest fails.
        println!("wish: {words}");
        let desk = Desk::new(folder);
        let report = desk.done(words);
        assert_eq!(fates(&report), wanted, "{words:?}");
        verify(&desk, &report);
        let again = desk.done(words);
        assert_eq!(again.files, [], "{words:?} changed files once more");
    }
}

#[test]
fn between_yaml_json_and_toml() {
    check(
        "household",
        &["convert budget.yaml to json", "convertis budget.yaml en json"],
        &["created budget.json"],
        &|desk, _| {
            let found: serde_json::Value = serde_json::from_str(&desk.text("budget.json")).unwrap();
            assert_eq!(
                found,
                serde_json::json!({
                    "year": 2026, "currency": "EUR", "shared": true, "savers": ["Mara", "Jonas"],
                    "limits": {"groceries": 320, "leisure": 120.5, "transport": 100},
                })
            );
        },
    );
    check("household", &["turn budget.yaml into toml"], &["created budget.toml"], &|desk, _| {
        let lines = [
            "year = 2026",
            "currency = \"EUR\"",
            "shared = true",
            "savers = [\"Mara\", \"Jonas\"]",
            "",
            "[limits]",
            "groceries = 320",
            "leisure = 120.5",
            "transport = 100",
        ];
        assert_eq!(desk.text("budget.toml").lines().collect::<Vec<_>>(), lines);
    });
    check(
        "webshop",
        &["convert config/mail.toml to yaml"],
        &["created config/mail.yaml"],
        &|desk, _| {
            let lines = [
                "from: shop@teapots.example",
                "retries: 3",
                "server:",
                "  host: mail.teapots.example",
                "  port: 587",
                "  secure: true",
                "templates:",
                "- name: welcome",
                "  file: welcome.txt",
                "- name: sent",
                "  file: sent.txt",
            ];
            assert_eq!(desk.text("config/mail.yaml").lines().collect::<Vec<_>>(), lines);
        },
    );
    check(
        "verein",
        &["konvertiere Technik/messwerte.yaml nach json"],
        &["created technik/messwerte.json"],
        &|desk, _| {
            let found: serde_json::Value =
                serde_json::from_str(&desk.text("Technik/messwerte.json")).unwrap();
            let days = serde_json::json!([
                {"tag": "2026-03-01", "innen": 18.5, "außen": 4},
                {"tag": "2026-03-02", "innen": 19.0, "außen": 6.5},
            ]);
            assert_eq!(found, days);
        },
    );
}

#[test]
fn files_of_a_kind_are_moved() {
    let moved = |to: &str| {
        ["logs/2026-03-01.log", "logs/2026-03-02.log", "logs/archive/2026-02-28.log"]
            .map(|from| format!("{from} → {to}/{}", from.rsplit('/').next().unwrap()))
    };
    for (words, to) in [
        ("move all log files to old", "old"),
        ("mueve todos los archivos .log a la carpeta viejos", "viejos"),
    ] {
        let wanted = moved(to);
        check("webshop", &[words], &wanted.each_ref().map(String::as_str), &|desk, _| {
            assert_eq!(
                desk.text(&format!("{to}/2026-03-01.log")),
                "08:00 started\n08:02 WARN slow query\n"
            );
        });
    }
    let wanted =
        ["Bläsergruppe.png", "Sommerfest 2025 Kopie.jpg", "Sommerfest 2025.jpg", "Tor.jpg"]
            .map(|name| format!("Fotos/{name} → Bilder/{name}"));
    let wanted = wanted.each_ref().map(String::as_str);
    check("verein", &["verschiebe alle Fotos nach Bilder"], &wanted, &|_, _| {});
}

#[test]
fn a_second_move_finds_nothing_left_and_says_so() {
    let words = "move all log files to old";
    let desk = Desk::new("webshop");
    let first = desk.done(words);
    assert!(!first.files.is_empty(), "{first:#?}");
    assert!(!first.answer.contains(": 0."), "{}", first.answer);
    let again = desk.done(words);
    assert_eq!(again.files, []);
    assert!(again.answer.contains(": 0."), "{}", again.answer);
}

#[test]
fn files_of_one_name_do_not_fall_over_each_other() {
    // Two pictures are called IMG_0412.jpg: none may be lost.
    let desk = Desk::new("household");
    let pictures = |desk: &Desk| {
        let mut found: Vec<_> = tree(desk.path())
            .into_iter()
            .filter(|(path, _)| path.to_lowercase().ends_with(".jpg"))
            .map(|(_, digest)| digest)
            .collect();
        found.sort();
        found
    };
    let before = pictures(&desk);
    let report = desk.report("move all *.jpg into pictures");
    assert_eq!(pictures(&desk), before, "{report:#?}");
    assert!(report.state == MissionState::Done || !report.problems.is_empty(), "{report:#?}");
}

#[test]
fn deleting_asks_lists_and_deletes_exactly_that() {
    for (folder, words, doomed) in [
        ("household", "delete all *.tmp", vec!["documents/letter.tmp", "documents/~lease.tmp"]),
        ("household", "lösche alle *.tmp", vec!["documents/letter.tmp", "documents/~lease.tmp"]),
        (
            "webshop",
            "supprime tous les fichiers .log",
            vec!["logs/2026-03-01.log", "logs/2026-03-02.log", "logs/archive/2026-02-28.log"],
        ),
    ] {
        // Without an answer nothing happens.
        let desk = Desk::new(folder);
        match desk.run(words, false) {
            Ended::Waiting(..) => {}
            other => panic!("{words:?} did not ask: {other:?}"),
        }
        let before = tree(desk.path());
        let report = desk.done(words);
        assert_eq!(changed(&before, &tree(desk.path())), doomed, "{words:?}");
        assert_eq!(named(&report), doomed);
        assert!(report.files.iter().all(|file| file.fate == FileFate::Deleted), "{report:#?}");
        // Nothing is left of that kind: nothing is asked, nothing is done.
        match desk.run(words, false) {
            Ended::Report(again) => {
                assert_eq!((again.state, again.files.len()), (MissionState::Done, 0), "{again:#?}");
            }
            other => panic!("{words:?} once more: {other:?}"),
        }
    }
}

#[test]
fn a_text_is_replaced_after_asking() {
    for words in [
        "replace \"Brandts\" with \"Brands\" in notes",
        "ersetze \"Brandts\" durch \"Brands\" in notes",
    ] {
        let desk = Desk::new("household");
        assert!(matches!(desk.run(words, false), Ended::Waiting(..)), "{words:?} did not ask");
        let ideas = desk.text("notes/ideas.txt");
        let report = desk.done(words);
        let files = ["changed notes/2026-02-15 family meeting.md", "changed notes/ideas.txt"];
        assert_eq!(fates(&report), files);
        assert_eq!(desk.text("notes/ideas.txt"), ideas.replace("Brandts", "Brands"));
        let meeting = desk.text("notes/2026-02-15 family meeting.md");
        assert!(
            meeting.contains("water the plants at the Brands\r\n") && !meeting.contains("Brandts")
        );
        assert_eq!(desk.done(words).files, []);
    }
}

#[test]
fn files_are_packed_and_come_out_again() {
    let photos = [
        "Grandma Ilse.JPG",
        "IMG_0412 (1).jpg",
        "IMG_0412.jpg",
        "IMG_0413.jpg",
        "größer Garten.png",
    ];
    for (pack, unpack) in [
        ("pack the folder photos into out.zip", "unpack out.zip into back"),
        ("packe den Ordner photos in out.tar.gz", "entpacke out.tar.gz in den Ordner back"),
    ] {
        let desk = Desk::new("household");
        let archive = if pack.contains("zip") { "out.zip" } else { "out.tar.gz" };
        assert_eq!(fates(&desk.done(pack)), [format!("created {archive}")]);
        // Another program finds them in it.
        let list = "import sys, tarfile, zipfile; name = sys.argv[1]\n\
            zipped = name.endswith('zip')\n\
            names = zipfile.ZipFile(name).namelist() if zipped else tarfile.open(name).getnames()\n\
            print(sum(one.startswith('photos/') for one in names))";
        let counted =
            Command::new("python3").args(["-c", list, archive]).current_dir(desk.path()).output();
        let counted = counted.unwrap();
        assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "5", "{pack:?}: {counted:?}");
        let report = desk.done(unpack);
        assert_eq!(
            fates(&report),
            photos.map(|name| format!("created back/photos/{}", name.to_lowercase()))
        );
        for name in photos {
            let read = |folder: &str| std::fs::read(desk.path().join(folder).join(name)).unwrap();
            assert_eq!(read("photos"), read("back/photos"), "{name}");
        }
        assert_eq!(desk.done(unpack).files, []);
    }
}

#[test]
fn lists_headings_and_addresses() {
    check(
        "household",
        &["list the 3 largest files", "zeige die 3 größten Dateien"],
        &[],
        &|_, report| {
            let largest = [
                "expenses.csv 1323",
                "notes/2026-01-11 family meeting.md 515",
                "notes/2026-02-15 family meeting.md 454",
            ];
            assert_eq!(columns(&report.answer, &[0, 1]), largest);
        },
    );
    let wishes =
        ["list the headings of notes/travel.md", "zeige die Gliederung von notes/travel.md"];
    check("household", &wishes, &[], &|_, report| {
        assert_eq!(
            columns(&report.answer, &[1, 2, 3]),
            ["1 1 Easter trip", "7 2 Ferry", "12 2 Flat"]
        );
    });
    check("webshop", &["list the headings in docs"], &[], &|_, report| {
        let headings = [
            "docs/prices.md Prices",
            "docs/prices.md Rounding",
            "docs/prices.md Vouchers",
            "docs/setup.md Set-up",
            "docs/style guide.md Style guide",
        ];
        assert_eq!(columns(&report.answer, &[0, 3]), headings);
    });
    let wishes =
        ["collect all email addresses from notes", "sammle alle E-Mail-Adressen aus notes"];
    check("household", &wishes, &[], &|_, report| {
        let addresses =
            ["office@ferry.example notes/travel.md 9", "osei@flats.example notes/travel.md 14"];
        assert_eq!(columns(&report.answer, &[0, 1, 2]), addresses);
    });
}

/// All tools, `run` among them.
fn contained(scratch: &std::path::Path) -> Hephaestus {
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    let sandbox = Sandbox::new(helper, scratch.to_owned(), Vec::new(), Host::of_process());
    let sandbox = Arc::new(sandbox);
    Hephaestus::with_tools(tools::with_sandbox(Arc::clone(&sandbox))).checking_in(sandbox)
}

#[test]
fn tests_run_in_the_sandbox_and_failures_are_written_down() {
    for (words, file) in [
        ("run the tests and write down the failures", "test-failures.md"),
        ("führe die Tests aus und schreibe die Fehler nach fehler.md", "fehler.md"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let desk = Desk::with("webshop", contained(scratch.path()), &|_| {});
        let report = desk.done(words);
        assert_eq!(fates(&report), [format!("created {file}")]);
        let failure = "Test failures: tests.test_prices.PricesTest.test_half_a_cent_is_rounded_up: AssertionError: 904 != 905";
        assert_eq!(entries(&desk.text(file)), [failure]);
        assert_eq!(desk.done(words).files, []);
        // Mended, the same words say so.
        let prices = desk.path().join("shop/prices.py");
        let text = std::fs::read_to_string(&prices).unwrap();
        let mended = text.replace(
            "return round(cents * (100 - percent) / 100)",
            "return (cents * (100 - percent) * 2 + 100) // 200",
        );
        assert_ne!(text, mended);
        std::fs::write(&prices, mended).unwrap();
        assert_eq!(fates(&desk.done(words)), [format!("changed {file}")]);
        assert_eq!(entries(&desk.text(file)), Vec::<String>::new());
    }
}
