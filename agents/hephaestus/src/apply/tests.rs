//! Changes on real folders: repeated, raced, refused, and on a full disk.

use super::*;
use crate::testing::Desk;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};

fn put(path: &str, text: &str) -> Change {
    Change::Write { path: path.into(), bytes: text.into(), mode: None }
}

fn shift(from: &str, to: &str) -> Change {
    Change::Move { from: from.into(), to: to.into() }
}

fn gone(path: &str) -> Change {
    Change::Delete { path: path.into() }
}

fn propose(desk: &Desk, change: Change) -> Proposed {
    desk.workspace().propose(change).unwrap()
}

fn carry(desk: &Desk, proposed: &Proposed) -> Result<Vec<Target>, ErrorCode> {
    apply(&desk.workspace(), proposed).map_err(|error| error.code)
}

fn temps(desk: &Desk) -> usize {
    let names = std::fs::read_dir(desk.path()).unwrap().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX)).count()
}

#[test]
fn every_change_is_carried_out_and_repeating_is_safe() {
    let desk = Desk::new(&[("old", "1"), ("from", "2"), ("gone", "3")]);
    std::fs::create_dir(desk.at("empty")).unwrap();
    for change in [
        put("new/deep/file", "x"),
        put("old", "y"),
        Change::Folder { path: "a/b".into() },
        shift("from", "c/to"),
        gone("gone"),
        gone("empty"),
    ] {
        let proposed = propose(&desk, change);
        let after = carry(&desk, &proposed).unwrap();
        assert_eq!(after, proposed.expected());
        assert_eq!(carry(&desk, &proposed).unwrap(), after, "{}", proposed.change);
    }
    assert_eq!(desk.get("new/deep/file"), "x");
    assert_eq!(desk.get("old"), "y");
    assert_eq!(desk.get("c/to"), "2");
    assert!(desk.at("a/b").is_dir());
    assert!(!desk.at("gone").exists() && !desk.at("empty").exists());
    assert_eq!(temps(&desk), 0);
}

#[test]
fn what_somebody_else_changed_is_left_alone() {
    let desk = Desk::new(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let cases = [put("a", "x"), put("free", "x"), shift("b", "to"), shift("c", "free"), gone("c")];
    let proposed = cases.map(|change| propose(&desk, change));
    for path in ["a", "b", "c", "free"] {
        desk.put(path, b"theirs");
    }
    for proposed in &proposed {
        assert_eq!(carry(&desk, proposed), Err(ErrorCode::ChangedSince), "{}", proposed.change);
    }
    for path in ["a", "b", "c", "free"] {
        assert_eq!(desk.get(path), "theirs");
    }
}

#[test]
fn a_folder_that_filled_up_is_not_deleted() {
    let desk = Desk::new(&[]);
    std::fs::create_dir(desk.at("d")).unwrap();
    let proposed = propose(&desk, gone("d"));
    desk.put("d/new", b"x");
    assert_eq!(carry(&desk, &proposed), Err(ErrorCode::Taken));
    assert_eq!(desk.get("d/new"), "x");
}

#[test]
fn a_file_in_the_way_of_a_folder_is_told() {
    let desk = Desk::new(&[("a", "1")]);
    for change in [put("a/b/c", "x"), Change::Folder { path: "a/b".into() }] {
        assert_eq!(carry(&desk, &propose(&desk, change)), Err(ErrorCode::Taken));
    }
    assert_eq!(desk.get("a"), "1");
}

#[test]
fn a_link_that_was_put_there_leads_nowhere() {
    let desk = Desk::new(&[("d/a", "1")]);
    let outside = Desk::new(&[("a", "theirs")]);
    let proposed = propose(&desk, put("d/a", "x"));
    std::fs::remove_dir_all(desk.at("d")).unwrap();
    symlink(outside.path(), desk.at("d")).unwrap();
    assert_eq!(carry(&desk, &proposed), Err(ErrorCode::Outside));
    let proposed = Proposed {
        change: put("d/new", "x"),
        before: vec![Target { path: "d/new".into(), state: TargetState::Absent }],
    };
    assert_eq!(carry(&desk, &proposed), Err(ErrorCode::Outside));
    assert_eq!(outside.get("a"), "theirs");
    assert!(!outside.at("new").exists());
    let refused = desk.workspace().propose(gone("d")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Permission);
    let proposed = Proposed {
        change: gone("d"),
        before: vec![Target { path: "d".into(), state: TargetState::Other }],
    };
    assert_eq!(carry(&desk, &proposed), Err(ErrorCode::Permission));
}

#[test]
fn forged_paths_are_refused() {
    let desk = Desk::new(&[]);
    for path in ["../x", "/tmp/x", "a/../x", "."] {
        let before = vec![Target { path: path.into(), state: TargetState::Absent }];
        let forged = Proposed { change: put(path, "x"), before };
        assert!(matches!(carry(&desk, &forged), Err(ErrorCode::Outside | ErrorCode::Arguments)));
    }
    let other = Proposed { change: put("a", "x"), before: Vec::new() };
    assert_eq!(carry(&desk, &other), Err(ErrorCode::Arguments));
}

#[test]
fn the_mode_is_kept_or_set() {
    let desk = Desk::new(&[("a.sh", "1")]);
    let mode = |path: &str| desk.at(path).metadata().unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(desk.at("a.sh"), std::fs::Permissions::from_mode(0o751)).unwrap();
    carry(&desk, &propose(&desk, put("a.sh", "2"))).unwrap();
    assert_eq!(mode("a.sh"), 0o751);
    let change = Change::Write { path: "b.sh".into(), bytes: vec![], mode: Some(0o4755) };
    carry(&desk, &propose(&desk, change)).unwrap();
    assert_eq!(mode("b.sh"), 0o755);
}

#[test]
fn only_the_dead_are_swept() {
    let desk = Desk::new(&[]);
    desk.put(".alma-tmp-dead", b"half");
    desk.put(".alma-tmp-alive", b"half");
    let alive = File::open(desk.at(".alma-tmp-alive")).unwrap();
    fs::flock(&alive, FlockOperation::LockExclusive).unwrap();
    carry(&desk, &propose(&desk, put("a", "x"))).unwrap();
    assert!(!desk.at(".alma-tmp-dead").exists());
    assert!(desk.at(".alma-tmp-alive").exists());
    drop(alive);
    carry(&desk, &propose(&desk, put("b", "x"))).unwrap();
    assert_eq!(temps(&desk), 0);
}

#[test]
fn one_of_many_writers_wins_a_free_name() {
    let desk = Desk::new(&[]);
    let all: Vec<Proposed> =
        (0..8).map(|i| propose(&desk, put("free", &format!("writer {i}")))).collect();
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            all.iter().map(|one| scope.spawn(|| carry(&desk, one).is_ok())).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(won, 1);
    assert!(desk.get("free").starts_with("writer "));
    assert_eq!(temps(&desk), 0);
}

#[test]
fn many_files_are_written_into_one_folder_at_once() {
    let desk = Desk::new(&[]);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let desk = &desk;
            scope.spawn(move || {
                for k in 0..20 {
                    let change = put(&format!("f-{i}-{k}"), "x");
                    carry(desk, &propose(desk, change)).unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(desk.path()).unwrap().count(), 160);
}

#[test]
fn a_killed_move_to_another_disk_is_finished() {
    let desk = Desk::new(&[("a", "x")]);
    let mark = |path: &std::path::Path| Mark::of_stat(&fs::stat(path).unwrap());
    let state = desk.workspace().state("a").unwrap();
    let at = |path: &str, state: &TargetState| Target { path: path.into(), state: state.clone() };
    let before = [at("a", &state), at("b", &TargetState::Absent)];
    let now = [at("a", &state), at("b", &state)];
    let (here, mut there) = (mark(&desk.at("a")), mark(&desk.at("a")));
    there.device = u64::MAX;
    let half = |there| is_half_moved(&shift("a", "b"), &before, &now, &[Some(here), Some(there)]);
    assert!(half(there));
    assert!(!half(here), "on one disk a rename leaves no two copies");
}

/// Runs this test binary again as root of its own namespaces, with a small
/// disk under the folder in the variable.
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    const INSIDE: &str = "HEPHAESTUS_SMALL_DISK";
    if let Some(path) = std::env::var_os(INSIDE) {
        let workspace = Workspace::open(std::path::Path::new(&path)).unwrap();
        let big = "x".repeat(3 << 20);
        let proposed = workspace.propose(put("small/a", &big)).unwrap();
        let error = apply(&workspace, &proposed).unwrap_err();
        assert_eq!(error.code, ErrorCode::DiskFull, "{error}");
        let left = std::fs::read_dir(workspace.path().join("small")).unwrap().count();
        assert_eq!(left, 0, "the hidden file was left behind");
        // Between the two disks: a move is a copy, and a full disk undoes it.
        let proposed = workspace.propose(shift("big", "small/big")).unwrap();
        let error = apply(&workspace, &proposed).unwrap_err();
        assert_eq!(error.code, ErrorCode::DiskFull, "{error}");
        assert!(workspace.path().join("big").exists());
        let proposed = workspace.propose(shift("fits", "small/fits")).unwrap();
        assert_eq!(apply(&workspace, &proposed).unwrap(), proposed.expected());
        assert!(!workspace.path().join("fits").exists());
        return;
    }
    let desk = Desk::new(&[("fits", "x")]);
    desk.put("big", &vec![1; 3 << 20]);
    std::fs::create_dir(desk.at("small")).unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$1/small\" || exit 77; exec \"$2\" --exact \
        apply::tests::a_full_disk_is_told_and_leaves_nothing";
    let done = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(desk.path())
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, desk.path())
        .output();
    match done {
        Ok(done) if done.status.success() => {
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(said.contains("1 passed"), "{said}");
        }
        // No namespaces here, or no program to make them.
        Ok(done) if matches!(done.status.code(), Some(77 | 1)) && done.stdout.is_empty() => {}
        Ok(done) => panic!("{}", String::from_utf8_lossy(&done.stdout)),
        Err(_) => {}
    }
}
