//! Missions by plain words over folders that a person might have. What they must
//! bring was worked out by hand; see the README of the fixtures. Each runs a
//! second time in the same folder, and every time the folder may differ only in
//! the files that the report names.

use alma_tests::desk::{Desk, json, twice};
use alma_tests::markdown::{columns, entries};
use alma_tests::rig::Ended;

const HOUSEHOLD_TASKS: [&str; 7] = [
    "Jonas: measure the wall for the new shelves (notes/2026-01-11 family meeting.md:11)",
    "Jonas: sell the old dishwasher (due 2026-03-10, notes/2026-02-15 family meeting.md:9)",
    "Lene: ask Grandma Ilse whether Easter works for her (notes/2026-01-11 family meeting.md:15)",
    "Lene: return the library books (notes/2026-02-15 family meeting.md:11)",
    "Mara: call the plumber about the second visit (due 2026-01-23, notes/2026-01-11 family meeting.md:9)",
    "Mara: compare electricity contracts (due 2026-03-31, notes/2026-02-15 family meeting.md:10)",
    "Mara: send the arrival time to Mrs. Osei (due 2026-03-28, notes/travel.md:16)",
];

#[test]
fn open_action_items_by_person() {
    let is_all = |text: &str| {
        let found = entries(text);
        let boxes: Vec<&String> = found.iter().filter(|e| !e.contains("the handles")).collect();
        assert_eq!(boxes, HOUSEHOLD_TASKS);
        // A line that begins with TODO counts too.
        assert_eq!(found.len(), 8);
        assert!(found.iter().any(|entry| entry.contains("(notes/kitchen renovation.txt:8)")));
    };
    twice(
        "household",
        &[
            "collect the open action items from notes grouped by person",
            "sammle die offenen Aufgaben aus notes nach Person",
            "rassemble les tâches ouvertes de notes par personne",
        ],
        &|_, report| is_all(&report.answer),
    );
    twice(
        "household",
        &["list every unfinished to-do by owner and save it to todo.md"],
        &|desk, _| is_all(&desk.text("todo.md")),
    );
    twice(
        "verein",
        &[
            "Stelle die offenen Aufgaben aus den Protokollen je Person zusammen und schreibe sie nach aufgaben.md",
        ],
        &|desk, _| {
            let text = desk.text("aufgaben.md");
            assert_eq!(
                entries(&text),
                [
                    "Anneke Söhl: Angebot für das neue Tor einholen (Protokolle/2026-02-19 Vorstandssitzung.md:8)",
                    "Bertram Kuhn: Bläsergruppe anfragen (due 2026-02-28, Protokolle/2026-01-15 Vorstandssitzung.md:9)",
                    "Ceyda Yıldız: Festwiese bei der Gemeinde anmelden (due 2026-03-01, Protokolle/2026-01-15 Vorstandssitzung.md:10)",
                    "Dörte Ahlers: Beitragsrechnungen verschicken (due 2026-03-15, Protokolle/2026-02-19 Vorstandssitzung.md:7)",
                ]
            );
        },
    );
}

#[test]
fn files_with_the_same_content() {
    let groups = [
        "2 112 documents/insurance.txt, documents/old/insurance (copy).txt",
        "3 27 downloads/IMG_0412.jpg, photos/IMG_0412 (1).jpg, photos/IMG_0412.jpg",
    ];
    let wishes = ["find duplicate files", "trouve les fichiers en double"];
    twice("household", &wishes, &|_, report| {
        assert_eq!(columns(&report.answer, &[0, 1, 2]), groups);
    });
    twice("household", &["find duplicate files and write the list to dup.md"], &|desk, _| {
        assert_eq!(columns(&desk.text("dup.md"), &[0, 1, 2]), groups);
    });
    twice("verein", &["finde doppelte Dateien"], &|_, report| {
        let group = "2 26 Fotos/Sommerfest 2025 Kopie.jpg, Fotos/Sommerfest 2025.jpg";
        assert_eq!(columns(&report.answer, &[0, 1, 2]), [group]);
    });
}

#[test]
fn lines_of_code_and_words() {
    let wishes = ["count the lines of code per language", "zähle die Codezeilen je Sprache"];
    twice("webshop", &wishes, &|_, report| {
        // Language, files, lines, code, comments, blank.
        let lines =
            ["Python 6 89 59 4 26", "JavaScript 1 9 5 3 1", "SQL 1 6 5 1 0", "CSS 1 5 4 1 0"];
        let mut found = columns(&report.answer, &[0, 1, 2, 5, 6, 7]);
        found.retain(|row| {
            lines.iter().any(|line| row.starts_with(line.split(' ').next().unwrap()))
        });
        assert_eq!(found, lines, "{}", report.answer);
    });
    twice("household", &["count the words in each note"], &|_, report| {
        assert!(report.answer.contains("348 words in 10 files"), "{}", report.answer);
        let travel: Vec<String> = columns(&report.answer, &[0, 1, 2]);
        assert!(travel.contains(&"notes/travel.md 56 16".to_owned()), "{travel:?}");
    });
    twice("verein", &["zähle die Wörter in Protokolle"], &|_, report| {
        let words = [
            "Protokolle/2026-01-15 Vorstandssitzung.md 68",
            "Protokolle/2026-02-19 Vorstandssitzung.md 55",
            "Protokolle/Jahreshauptversammlung 2025.md 40",
            "Protokolle/Vorlage.md 0",
        ];
        assert_eq!(columns(&report.answer, &[0, 1]), words);
    });
}

#[test]
fn links_and_the_broken_ones() {
    let wishes = ["list all links in notes", "liste alle Links in notes auf"];
    twice("household", &wishes, &|_, report| {
        let targets = [
            "18 travel.md",
            "18 https://ferry.example/booking",
            "14 ../shopping list.md",
            "14 2026-01-11%20family%20meeting.md",
            "3 #ferry",
            "4 #flat",
            "5 packing.md",
            "10 https://ferry.example/parking",
        ];
        assert_eq!(columns(&report.answer, &[1, 3]), targets);
    });
    let wishes = ["which relative links are broken", "welche relativen Links sind kaputt"];
    twice("webshop", &wishes, &|_, report| {
        let broken = [
            "README.md 4 docs/api.md",
            "README.md 10 docs/deploy.md",
            "docs/setup.md 7 troubleshooting.md",
        ];
        assert_eq!(columns(&report.answer, &[0, 1, 3]), broken);
    });
    twice("verein", &["quels liens relatifs sont cassés"], &|_, report| {
        let broken = [
            "Protokolle/2026-01-15 Vorstandssitzung.md 15 Haushalt 2026.md",
            "Satzung.md 13 Beitragsordnung.pdf",
        ];
        assert_eq!(columns(&report.answer, &[0, 1, 3]), broken);
    });
}

#[test]
fn two_files_compared() {
    let wishes = [
        "compare config/dev.yaml with config/prod.yaml",
        "compara config/dev.yaml con config/prod.yaml",
    ];
    twice("webshop", &wishes, &|_, report| {
        let mut found = columns(&report.answer, &[0, 1, 2, 3]);
        found.sort();
        let rows = [
            "database.file changed shop-dev.db /var/lib/shop/shop.db",
            "features.reviews removed yes ",
            "log changed debug warn",
            "server.host changed localhost teapots.example",
            "server.port changed 8080 443",
            "server.tls added  yes",
            "server.workers changed 1 8",
        ];
        assert_eq!(found, rows);
    });
    twice(
        "verein",
        &["vergleiche Technik/heizung-alt.ini mit Technik/heizung.ini"],
        &|_, report| {
            let rows = [
                "heizung.soll changed 21 19",
                "heizung.modus removed sparsam ",
                "pumpe.an added  ja",
            ];
            assert_eq!(columns(&report.answer, &[0, 1, 2, 3]), rows);
        },
    );
}

#[test]
fn comments_of_a_kind() {
    let wishes = [
        "collect all TODO comments with file and line number",
        "sammle alle TODO-Kommentare mit Datei und Zeile",
    ];
    twice("webshop", &wishes, &|_, report| {
        let todos = [
            "TODO shop/prices.py 6",
            "TODO shop/prices.py 22",
            "TODO shop/schema.sql 1",
            "TODO shop/static/cart.js 1",
        ];
        assert_eq!(columns(&report.answer, &[0, 1, 2]), todos);
    });
    twice("webshop", &["list every FIXME in the code"], &|_, report| {
        assert_eq!(
            columns(&report.answer, &[1, 2]),
            ["shop/prices.py 14", "shop/static/cart.js 3"]
        );
        assert!(report.answer.contains("the list is not sorted"), "{}", report.answer);
    });
}

#[test]
fn where_something_is_mentioned() {
    let places = |text: &str| -> Vec<String> {
        entries(text).iter().map(|e| e.split(": ").nth(1).unwrap().to_owned()).collect()
    };
    twice("household", &["find where dishwasher is mentioned and quote it"], &|_, report| {
        let lines = [
            "expenses.csv:19",
            "notes/2026-02-15 family meeting.md:5",
            "notes/2026-02-15 family meeting.md:9",
            "notes/kitchen renovation.txt:6",
            "shopping list.md:5",
        ];
        assert_eq!(places(&report.answer), lines);
        assert!(
            report
                .answer
                .contains("The dishwasher broke on 2026-02-12. The new one comes on 2026-02-27.")
        );
    });
    twice("verein", &["wo wird Sommerfest erwähnt"], &|_, report| {
        let lines = [
            "Mail/2026-02-20 Bläsergruppe.eml:5",
            "Mail/2026-02-20 Bläsergruppe.eml:8",
            "Protokolle/2026-01-15 Vorstandssitzung.md:5",
            "Protokolle/2026-01-15 Vorstandssitzung.md:7",
        ];
        assert_eq!(places(&report.answer), lines);
    });
}

/// Dates in the file in which they were collected, and days of the timeline that
/// was made from it.
fn timeline(desk: &Desk, wanted: &[&str]) {
    let mut collected: Vec<String> = json(desk, "dates.json")
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {}:{}",
                row["date"].as_str().unwrap(),
                row["file"].as_str().unwrap(),
                row["line"]
            )
        })
        .collect();
    collected.sort();
    assert_eq!(collected, wanted);
    let shown: Vec<String> = entries(&desk.text("timeline.md"))
        .iter()
        .map(|entry| entry.split("**").nth(1).unwrap().to_owned())
        .collect();
    let days: Vec<&str> = wanted.iter().map(|row| &row[..10]).collect();
    assert_eq!(shown, days);
}

#[test]
fn dates_and_a_timeline_from_them() {
    let wishes =
        ["collect the dates from notes and make a timeline", "mach eine Zeitleiste aus notes"];
    twice("household", &wishes, &|desk, _| {
        let kitchen = |day: &str, line: u32| format!("{day} notes/kitchen renovation.txt:{line}");
        let wanted = [
            kitchen("2025-11-03", 3),
            kitchen("2025-12-19", 4),
            "2026-01-08 notes/2026-01-11 family meeting.md:7".to_owned(),
            kitchen("2026-01-08", 5),
            "2026-01-11 notes/2026-01-11 family meeting.md:1".to_owned(),
            "2026-01-11 notes/2026-02-15 family meeting.md:14".to_owned(),
            "2026-01-23 notes/2026-01-11 family meeting.md:9".to_owned(),
            "2026-02-01 notes/travel.md:14".to_owned(),
            "2026-02-12 notes/2026-02-15 family meeting.md:5".to_owned(),
            "2026-02-15 notes/2026-02-15 family meeting.md:1".to_owned(),
            "2026-02-27 notes/2026-02-15 family meeting.md:5".to_owned(),
            kitchen("2026-02-27", 6),
            "2026-03-10 notes/2026-02-15 family meeting.md:9".to_owned(),
            "2026-03-28 notes/travel.md:16".to_owned(),
            "2026-03-31 notes/2026-02-15 family meeting.md:10".to_owned(),
            "2026-04-02 notes/travel.md:9".to_owned(),
            "2026-04-11 notes/travel.md:9".to_owned(),
        ];
        timeline(desk, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
    });
    twice("verein", &["erstelle eine Zeitleiste aus Protokolle"], &|desk, _| {
        timeline(
            desk,
            &[
                "2025-11-21 Protokolle/Jahreshauptversammlung 2025.md:1",
                "2026-01-01 Protokolle/Jahreshauptversammlung 2025.md:7",
                "2026-01-15 Protokolle/2026-01-15 Vorstandssitzung.md:1",
                "2026-01-15 Protokolle/2026-02-19 Vorstandssitzung.md:5",
                "2026-02-02 Protokolle/2026-02-19 Vorstandssitzung.md:11",
                "2026-02-19 Protokolle/2026-02-19 Vorstandssitzung.md:1",
                "2026-02-28 Protokolle/2026-01-15 Vorstandssitzung.md:9",
                "2026-03-01 Protokolle/2026-01-15 Vorstandssitzung.md:10",
                "2026-03-15 Protokolle/2026-02-19 Vorstandssitzung.md:7",
                "2026-06-20 Protokolle/2026-01-15 Vorstandssitzung.md:7",
            ],
        );
    });
}

#[test]
fn a_wish_that_nothing_here_can_meet_is_refused() {
    for (folder, words, missing) in [
        ("household", "book me a flight to Rome", "flight"),
        ("verein", "buche mir einen Flug nach Rom", "Flug"),
        ("webshop", "what will the weather be tomorrow", "weather"),
        ("household", "total the prices in nowhere.csv", "nowhere.csv"),
    ] {
        match Desk::new(folder).run(words, true) {
            Ended::Refused(said) => assert!(said.contains(missing), "{words:?}: {said}"),
            other => panic!("{words:?} was not refused: {other:?}"),
        }
    }
}

#[test]
fn a_wish_that_can_be_met_in_part_waits_and_names_the_rest() {
    for (folder, words, rest) in [
        ("household", "convert expenses.csv to json and send it to my bank", "send it to my bank"),
        ("verein", "finde doppelte Fotos und drucke sie aus", "drucke sie aus"),
        (
            "household",
            "collect the open tasks from notes and email them to Jonas",
            "email them to Jonas",
        ),
    ] {
        let desk = Desk::new(folder);
        match desk.run(words, false) {
            Ended::Waiting(_, cards) => {
                assert!(
                    cards.iter().any(|card| card.starts_with("part:") && card.contains(rest)),
                    "{cards:?}"
                );
            }
            other => panic!("{words:?} does not wait: {other:?}"),
        }
        // Accepted, the part is done, and the rest is still called undone.
        let report = desk.report(words);
        assert_eq!(report.state, charter::rows::MissionState::Unverified, "{report:#?}");
        assert!(report.problems.iter().any(|problem| problem.contains(rest)), "{report:#?}");
    }
}
