//! What comes back, and what does not.

use crate::bench::{Bench, done, lines};
use charter::effect::{Change, TargetState};
use charter::tool::{ErrorCode, Proposed};
use hephaestus::sandbox::{Store, Taken};
use std::fs;
use std::os::unix::fs::symlink;

pub(crate) fn declared_outputs_come_back() {
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        bench.put("keep.txt", "old");
        bench.put("same.txt", "same");
        bench.put("gone.txt", "bye");
        bench.put("tool.sh", "#!/bin/sh\n");
        bench.put("noise.log", "1");
        let ran = bench.shell(
            "printf new > keep.txt; printf same > same.txt; rm gone.txt; chmod +x tool.sh; \
             mkdir -p made/empty; printf a > 'made/a\nb.txt'; printf 2 > noise.log; \
             mkdir cache; echo x > cache/x; chmod 600 made/a*",
        );
        done(&ran);
        let outputs = ["*.txt", "tool.sh", "made", "made/**"];
        let taken = bench.take(&ran, &outputs).unwrap();
        assert_eq!(
            lines(&taken),
            [
                "delete \"gone.txt\"",
                "write \"keep.txt\" (3 bytes)",
                "make the folder \"made\"",
                "write \"made/a\\nb.txt\" (1 bytes)",
                "make the folder \"made/empty\"",
                "write \"tool.sh\" (10 bytes)",
            ],
            "{store:?}"
        );
        assert_eq!(taken.dropped, ["cache/x", "noise.log"], "{store:?}");
        let keep = change(&taken, "keep.txt");
        assert!(matches!(keep.before[0].state, TargetState::File { bytes: 3, .. }));
        assert!(matches!(&keep.change, Change::Write { bytes, .. } if bytes == b"new"));
        let mode = |path| match &change(&taken, path).change {
            Change::Write { mode, .. } => *mode,
            _ => None,
        };
        assert_eq!(mode("made/a\nb.txt"), Some(0o600), "{store:?}");
        assert_eq!(mode("tool.sh").map(|mode| mode & 0o111), Some(0o111), "{store:?}");
        // The workspace itself is as it was.
        assert_eq!(fs::read_to_string(bench.work().join("keep.txt")).unwrap(), "old");
        assert!(bench.work().join("gone.txt").exists() && !bench.work().join("made").exists());
        drop(ran);
        assert_eq!(fs::read_dir(bench.root.path().join("scratch")).unwrap().count(), 0);
    }
}

#[track_caller]
fn change<'t>(taken: &'t Taken, path: &str) -> &'t Proposed {
    taken.changes.iter().find(|proposed| proposed.change.paths() == [path]).unwrap()
}

pub(crate) fn deleted_and_replaced_folders_come_back() {
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        bench.put("old/a", "1");
        bench.put("old/sub/b", "2");
        bench.put("new/a", "1");
        bench.put("new/.hidden/b", "2");
        bench.put("file", "x");
        let ran = bench.shell(
            "rm -r old; rm -r new; mkdir new; printf 1 > new/a; printf 3 > new/c; \
             rm file; mkdir file; printf y > file/inner",
        );
        done(&ran);
        let taken = bench.take(&ran, &["**"]).unwrap();
        assert_eq!(
            lines(&taken),
            [
                "delete \"old/sub/b\"",
                "delete \"old/sub\"",
                "delete \"old/a\"",
                "delete \"old\"",
                "delete \"new/.hidden/b\"",
                "delete \"new/.hidden\"",
                "delete \"file\"",
                "make the folder \"file\"",
                "write \"file/inner\" (1 bytes)",
                "write \"new/c\" (1 bytes)",
            ],
            "{store:?}"
        );
        assert_eq!(taken.dropped, Vec::<String>::new(), "{store:?}");
    }
}

pub(crate) fn links_and_pipes_are_not_taken_over() {
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        let secret = bench.root.path().join("home/secret");
        fs::write(&secret, "secret").unwrap();
        bench.put("report.txt", "old");
        bench.put("folder/inner", "x");
        symlink("report.txt", bench.work().join("link")).unwrap();
        let ran = bench.shell(&format!(
            "ln -sf {0} report.txt; ln -s {0} escape; ln -s / root; mkfifo pipe; rm link; \
             rm -r folder; echo x > folder; ln report.txt hard 2>/dev/null; true",
            secret.display()
        ));
        done(&ran);
        let taken = bench.take(&ran, &["**"]).unwrap();
        assert_eq!(lines(&taken), Vec::<String>::new(), "{store:?}");
        for name in ["report.txt", "escape", "root", "pipe", "link", "folder"] {
            assert!(taken.dropped.iter().any(|path| path == name), "{store:?} {name} {taken:?}");
        }
        assert!(!format!("{taken:?}").contains("secret\""));
    }
}

pub(crate) fn files_changed_meanwhile_are_not_overwritten() {
    let bench = Bench::new();
    bench.put("a.txt", "old");
    let file = bench.work().join("a.txt");
    let ran = bench.shell("printf program > a.txt");
    fs::write(&file, "person").unwrap();
    let error = bench.take(&ran, &["a.txt"]).unwrap_err();
    assert_eq!(error.code, ErrorCode::ChangedSince, "{error}");
}

pub(crate) fn too_much_output_is_refused() {
    let bench = Bench::new();
    let ran = bench.shell("head -c 2m /dev/zero > big");
    done(&ran);
    assert_eq!(bench.take(&ran, &["big"]).unwrap_err().code, ErrorCode::TooLarge);
    assert_eq!(bench.take(&ran, &["small"]).unwrap().dropped, ["big"]);
}
