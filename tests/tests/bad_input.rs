//! Bad input, through the real binary: each gets the exit code that is promised
//! and words that say what happened, why, and what to do. Nothing is lost.

use alma_tests::shell::{Out, Shell, ended};
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

fn shell() -> Shell {
    Shell::new(env!("CARGO_BIN_EXE_alma-counting"))
}

#[track_caller]
fn file(shell: &Shell, text: &[u8], code: i32, says: &[&str]) {
    shell.put("mission.yaml", text);
    shell.run(&["mission", "run", "--file", "mission.yaml"]).says(code, says);
}

#[test]
fn malformed_mission_files() {
    let shell = shell();
    file(&shell, b"goal: x\nsteps:\n  - tool: read\n    args: {path: a\n", 2, &["line 4"]);
    file(
        &shell,
        b"goal: x\nsteps:\n  - tool: raed\n    args: {path: a}\n",
        2,
        &["line 3", "raed", "read"],
    );
    file(&shell, b"goal: x\nstpes: []\n", 2, &["stpes"]);
    file(&shell, b"", 2, &["alma: "]);
    file(&shell, b"\xff\xfe\x00", 2, &["mission.yaml", "UTF-8", "save it"]);
    file(&shell, &vec![b'#'; 5 << 20], 2, &["mission.yaml", "bytes"]);
    let step = "goal: x\nsteps:\n  - {tool: read, title: t, args: {path: \"${7.rows}\"}}\n";
    file(&shell, step.as_bytes(), 2, &["7"]);
    shell
        .run(&["mission", "run", "--file", "gone.yaml"])
        .says(2, &["gone.yaml", "No such file", "check its name"]);
    shell
        .run(&["plan", "edit", "m-0000000000000000", "--file", "gone.yaml"])
        .says(2, &["gone.yaml"]);
    shell.run(&["mission", "show", "m-nonsense"]).says(2, &["m-nonsense"]);
    shell.run(&["mission", "show", "m-0000000000000000"]).says(1, &["was not found"]);
    shell.wish("  ").says(2, &["no wish"]);
    shell.wish(&"x ".repeat(40_000)).says(2, &["bytes", "put long texts into files"]);
    shell.intact();
}

#[test]
fn malformed_playbooks_and_configuration() {
    let shell = shell();
    shell.put("a.md", "- [ ] Ann: x\n");
    for text in
        [&b"name: x\nversion: one\n"[..], b"name: [", b"\xff\xfe", b"name: mine\nversion: 1\n"]
    {
        shell.put_home("playbooks/mine.yaml", text);
        shell.wish("count the words in a.md").says(2, &["mine"]);
    }
    shell.put_home("playbooks/mine.yaml", b"name: x\nversion: one\n");
    shell.run(&["playbooks", "list"]).says(2, &["playbooks/mine.yaml", "line 2", "mend the file"]);
    std::fs::remove_dir_all(shell.home().join("playbooks")).unwrap();
    for (text, said) in [
        (&b"[worker\n"[..], "line 1"),
        (b"\xff", "config.toml"),
        (b"[worker]\nconcurency = 1\n", "worker.concurency"),
        (b"[worker]\nconcurrency = 0\n", "expected 1 to 64"),
        (b"[budget]\nsteps = \"many\"\n", "budget.steps"),
    ] {
        shell.put_home("config.toml", text);
        shell.run(&["doctor"]).says(2, &["configuration", said]);
    }
    std::fs::remove_file(shell.home().join("config.toml")).unwrap();
    shell.run(&["--set", "worker.concurrency=many", "doctor"]).says(2, &["many", "whole number"]);
    shell.run(&["--set", "worker.speed=1", "doctor"]).says(2, &["worker.speed", "config show"]);
    shell.wish("count the words in a.md").says(0, &["5 words"]);
    shell.intact();
}

#[test]
fn malformed_data() {
    let shell = shell();
    for (name, text, to, says) in [
        ("open.csv", &b"a,b\n\"1,2\n"[..], "json", &["line 2", "quote"][..]),
        ("ragged.csv", b"a,b\n1,2,3\n", "json", &["line 2", "3 cells", "2 columns"]),
        ("latin.csv", b"caf\xe9,b\n1,2\n", "json", &["line 1", "UTF-8", "save the file"]),
        ("empty.csv", b"", "json", &["empty", "first row"]),
        ("cut.json", b"{\"a\": ", "yaml", &["cut.json", "line 1"]),
        ("twice.json", b"{\"a\": 1, \"a\": 2}", "yaml", &["twice.json", "a"]),
        ("open.yaml", b"a: [1,\n", "json", &["open.yaml", "line 1"]),
        ("half.toml", b"x = \n", "json", &["half.toml", "line 1"]),
        ("null.json", b"{\"a\": null}", "toml", &["null"]),
    ] {
        shell.put(name, text);
        shell.wish(&format!("convert {name} to {to}")).says(1, says);
        let stem = name.split('.').next().unwrap();
        assert!(!shell.work().join(format!("{stem}.{to}")).exists(), "{name}");
    }
    shell.put("deep.json", format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)));
    shell.wish("convert deep.json to yaml").says(1, &["deep.json"]);
    shell.intact();
}

#[test]
fn a_file_of_two_gigabytes_costs_no_memory() {
    let shell = shell();
    let big = std::fs::File::create(shell.work().join("big.json")).unwrap();
    big.set_len(2 << 30).unwrap();
    shell.put("small.tmp", "x");
    // Address space, of which little is ever touched.
    let wish = |words: &str| -> Out {
        let script = format!(
            "ulimit -v 1500000; exec \"$ALMA\" mission run --again --approve-plan \"{words}\""
        );
        ended(shell.script(&script).spawn().unwrap())
    };
    wish("list the largest files").says(0, &["2147483648"]);
    wish("find duplicate files").says(0, &["2 files compared"]);
    wish("convert big.json to yaml").says(1, &["2147483648 bytes", "split the file"]);
    wish("count the words in big.json").says(0, &[]);
    shell.step("search", &json!({"files": "**/*", "text": "hello"})).says(0, &["done"]);
    shell
        .step("read", &json!({"path": "big.json"}))
        .says(1, &["2147483648 bytes", "split the file"]);
    wish("move big.json to attic").says(0, &["attic/big.json"]);
    wish("delete attic/big.json").says(0, &["Files deleted: 1"]);
    assert!(
        !shell.work().join("attic/big.json").exists() && shell.work().join("small.tmp").exists()
    );
    shell.intact();
}

#[test]
fn without_permission() {
    let shell = shell();
    shell.put("a.md", "- [ ] Ann: x\n");
    shell.put("b.md", "- [ ] Bob: y\n");
    shell.put("sealed/c.md", "- [ ] Cleo: z\n");
    let mode = |path: &str, mode: u32| {
        let to = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(shell.work().join(path), to).unwrap();
    };
    let wish = |words: &str| shell.nobody(&["mission", "run", "--again", "--approve-plan", words]);
    wish("collect the open action items").says(0, &["3 open action items"]);
    mode("b.md", 0o000);
    wish("collect the open action items in b.md")
        .says(1, &["b.md", "Permission denied", "give yourself permission"]);
    mode("sealed", 0o000);
    // What cannot be looked into is not passed over in silence.
    wish("collect the open action items").says(1, &["Permission denied"]);
    mode("sealed", 0o555);
    wish("delete sealed/c.md")
        .says(1, &["sealed/c.md", "Permission denied", "give yourself permission"]);
    assert!(shell.work().join("sealed/c.md").exists());
    mode(".", 0o555);
    wish("count the words in a.md and save them to words.md")
        .says(1, &["words.md", "Permission denied"]);
    shell.nobody(&["--json", "audit", "verify"]).says(0, &["\"intact\": true"]);
    // A data folder of somebody else, and a place where none can be made.
    for home in ["/usr", "/usr/alma-home"] {
        let mut command = shell.as_nobody(&["doctor"]);
        command.env("ALMA_HOME", home);
        ended(command.spawn().unwrap()).says(1, &["data folder", home]);
    }
}

#[test]
fn ways_out_of_the_workspace() {
    let shell = shell();
    let outside = shell.beside("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("diary.md"), "- [ ] Ann: secret plan\n").unwrap();
    symlink(&outside, shell.work().join("out")).unwrap();
    symlink(outside.join("diary.md"), shell.work().join("link.md")).unwrap();
    shell.put("a.md", "- [ ] Bob: y\n");
    // Links are not followed by walks, nor by name, nor written through.
    let all = shell.wish("collect the open action items");
    all.says(0, &["1 open action items"]);
    assert!(!all.out.contains("secret"), "{all:#?}");
    for path in ["out/diary.md", "link.md"] {
        for (tool, args) in [
            ("read", json!({ "path": path })),
            ("write", json!({ "path": path, "text": "gone" })),
            ("delete", json!({ "path": path })),
        ] {
            let out = shell.step(tool, &args);
            out.says(1, &[path, "link"]);
            assert!(!out.out.contains("secret"), "{out:#?}");
        }
    }
    // What is named outside is asked about, and refused even then.
    let diary = outside.join("diary.md");
    for path in ["../outside/diary.md", diary.to_str().unwrap()] {
        shell.step("read", &json!({ "path": path })).says(3, &[path, "another folder"]);
        let out = shell.run(&[
            "mission",
            "run",
            "--approve-plan",
            "--again",
            "--file",
            shell.beside("mission.yaml").to_str().unwrap(),
        ]);
        out.says(1, &["no usable path"]);
        assert!(!out.out.contains("secret"), "{out:#?}");
    }
    for words in [
        "delete ../outside/diary.md",
        "convert ../outside/diary.md to json",
        "search for plan in /etc/passwd",
    ] {
        let out = shell.wish(words);
        assert!(out.code == 5 || out.code == 3, "{out:#?}");
    }
    assert_eq!(std::fs::read_to_string(&diary).unwrap(), "- [ ] Ann: secret plan\n");
    shell.intact();
}

#[test]
fn hostile_names() {
    let shell = shell();
    shell.put("a\nb.md", "- [ ] Ann: one\n");
    shell.put("--help.md", "- [ ] Bob: two\n");
    shell.put("-rf", "x");
    shell.put("${1.rows}.md", "- [ ] Cleo: three\n");
    shell.put("a|b`c*.md", "- [ ] Dora: four\n");
    shell.put("\u{1b}[31mred.md", "- [ ] Emil: five\n");
    shell.put(std::ffi::OsStr::from_bytes(b"n\xff.md"), "- [ ] Fay: six\n");
    let all = shell.wish("collect the open action items and save them to todo.txt");
    all.says(0, &["5 open action items"]);
    assert!(!all.out.contains('\u{1b}') && !all.err.contains('\u{1b}'), "{all:#?}");
    let written = std::fs::read_to_string(shell.work().join("todo.txt")).unwrap();
    // One entry per task: a name cannot make lines of its own.
    assert_eq!(written.lines().filter(|line| line.starts_with("- [ ] ")).count(), 5, "{written}");
    let gone = shell.run(&["mission", "run", "--approve-plan", "delete all *.md"]);
    gone.says(0, &["Files deleted: 5"]);
    assert!(!gone.out.contains('\u{1b}'), "{gone:#?}");
    let mut left: Vec<_> =
        std::fs::read_dir(shell.work()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        [
            std::ffi::OsStr::new("-rf"),
            std::ffi::OsStr::from_bytes(b"n\xff.md"),
            std::ffi::OsStr::new("todo.txt")
        ]
    );
    shell.intact();
    // A workspace that has no name in UTF-8.
    let odd = shell.beside("x").with_file_name(std::ffi::OsStr::from_bytes(b"w\xff"));
    std::fs::create_dir(&odd).unwrap();
    let mut command = shell.command(&["mission", "run", "count the words"]);
    command.current_dir(odd);
    ended(command.spawn().unwrap()).says(2, &["UTF-8", "rename the folder"]);
    shell
        .run(&["mission", "run", "-w", "/nonexistent", "count the words"])
        .says(2, &["/nonexistent", "--workspace"]);
    shell
        .run(&["mission", "run", "-w", "/etc/passwd", "count the words"])
        .says(2, &["no folder", "--workspace"]);
}
