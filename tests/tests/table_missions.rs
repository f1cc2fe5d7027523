//! Missions by plain words over tables. What they must bring was worked out by
//! hand; see the README of the fixtures.

use alma_tests::desk::{json, twice};
use alma_tests::markdown::{columns, csv};
use serde_json::Value;

/// Every cell of a CSV stands in the JSON made from it, as text or as the number
/// that the text is.
fn same_cells(records: &Value, csv: &[Vec<String>]) {
    let (header, rows) = csv.split_first().unwrap();
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(rows) {
        assert_eq!(record.as_object().unwrap().len(), header.len());
        for (name, cell) in header.iter().zip(row) {
            let same = match &record[name] {
                Value::String(text) => text == cell,
                Value::Number(number) => cell.parse::<f64>().ok() == number.as_f64(),
                Value::Null => cell.is_empty(),
                _ => false,
            };
            assert!(same, "{name}: {cell:?} became {}", record[name]);
        }
    }
}

const BY_CATEGORY: [&str; 9] = [
    "groceries 7 416.05",
    "health 2 47.95",
    "household 1 649",
    "housing 3 3450",
    "leisure 3 128.3",
    "refund 1 -40",
    "repairs 2 305.5",
    "transport 3 138",
    "travel 2 712.8",
];
const NACH_KATEGORIE: [&str; 5] =
    ["Büro 3 49", "Fest 2 630", "Geräte 3 1403.3", "Strom 1 203.17", "Versicherung 1 312.4"];

#[test]
fn a_table_to_json_with_totals_per_group() {
    twice(
        "household",
        &[
            "convert expenses.csv to json and total per category",
            "wandle expenses.csv in json um und summiere je category",
        ],
        &|desk, report| {
            same_cells(&json(desk, "expenses.json"), &csv(&desk.text("expenses.csv"), ','));
            assert_eq!(columns(&report.answer, &[0, 1, 2]), BY_CATEGORY);
            assert!(report.answer.contains("5807.60"), "{}", report.answer);
        },
    );
    twice(
        "verein",
        &["wandle Ausgaben.csv in json um und summiere Betrag je Kategorie"],
        &|desk, report| {
            same_cells(&json(desk, "Ausgaben.json"), &csv(&desk.text("Ausgaben.csv"), ';'));
            assert_eq!(columns(&report.answer, &[0, 1, 2]), NACH_KATEGORIE);
            assert!(report.answer.contains("2597.87"), "{}", report.answer);
        },
    );
}

#[test]
fn totals_by_condition_and_per_group() {
    twice(
        "household",
        &[
            "what is the total for travel in expenses.csv",
            "total the amount in expenses.csv where category is travel",
            "summiere amount in expenses.csv wo category travel ist",
        ],
        &|_, report| assert!(report.answer.contains("712.80"), "{}", report.answer),
    );
    twice(
        "verein",
        &[
            "summiere Betrag in Ausgaben.csv je Kategorie",
            "somme de Betrag par Kategorie dans Ausgaben.csv",
        ],
        &|_, report| {
            assert_eq!(columns(&report.answer, &[0, 1, 2]), NACH_KATEGORIE);
            assert!(report.answer.contains("2597.87"), "{}", report.answer);
        },
    );
}

#[test]
fn rows_that_meet_a_condition() {
    let over = [
        "2026-01-05",
        "2026-01-08",
        "2026-02-01",
        "2026-02-02",
        "2026-02-18",
        "2026-02-27",
        "2026-03-02",
    ];
    twice("household", &["show all rows of expenses.csv with amount over 200"], &|_, report| {
        assert_eq!(columns(&report.answer, &[0]), over)
    });
    twice("household", &["export the expenses over 200 to big.csv"], &|desk, _| {
        let rows = csv(&desk.text("big.csv"), ',');
        let days: Vec<&str> = rows.iter().skip(1).map(|row| row[0].as_str()).collect();
        assert_eq!(days, over);
        assert_eq!(
            rows[2],
            ["2026-01-08", "repairs", "Pipes & Sons", "210.50", "Jonas", "leak, first visit"]
        );
    });
    twice("verein", &["zeige alle Zeilen aus Ausgaben.csv mit Bezahlt = nein"], &|_, report| {
        let unpaid = [
            "Gemeinde 150,00",
            "Werkstatt Behn 64,80",
            "Zelte; Bänke GmbH 480,00",
            "Papierhaus 8,05",
        ];
        assert_eq!(columns(&report.answer, &[2, 3]), unpaid);
    });
}

#[test]
fn averages_counts_and_order() {
    twice(
        "webshop",
        &[
            "average total per country in data/orders.csv",
            "moyenne de total par country dans data/orders.csv",
        ],
        &|_, report| {
            let means = ["AT 36.75", "DE 416.67", "FR 61.25", "NL 15.25"];
            assert_eq!(columns(&report.answer, &[0, 2]), means);
        },
    );
    twice("webshop", &["how many rows of data/orders.csv per status"], &|_, report| {
        let counts = ["cancelled 1", "open 3", "paid 2", "shipped 3"];
        assert_eq!(columns(&report.answer, &[0, 1]), counts);
    });
    twice("verein", &["zähle die Mitglieder nach Ort"], &|_, report| {
        assert_eq!(columns(&report.answer, &[0, 1]), ["Adendorf 2", "Bardowick 1", "Lüneburg 3"]);
    });
    let amounts = |text: &str| -> Vec<f64> {
        columns(text, &[3]).iter().map(|cell| cell.parse().unwrap()).collect()
    };
    twice("household", &["sort expenses.csv by amount, largest first"], &|_, report| {
        let found = amounts(&report.answer);
        assert_eq!((found.len(), found[0], found[23]), (24, 1150.0, -40.0));
        assert!(found.is_sorted_by(|a, b| a >= b), "{found:?}");
    });
    twice("household", &["ordena expenses.csv por amount"], &|_, report| {
        let found = amounts(&report.answer);
        assert!(found.len() == 24 && found.is_sorted(), "{found:?}");
    });
}
