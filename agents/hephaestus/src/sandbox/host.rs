//! What of this machine a contained program is shown, and its environment.
//!
//! Everything is hidden unless it is listed: the system's programs and
//! libraries, the few files of `/etc` that programs need, and the toolchains that
//! people install into their home, without the credentials that lie beside
//! them. The decision is a function of names and of which of them exist.

use super::known::{BESIDE_BIN, ETC, PASSED, PASSED_FOLDERS, SYSTEM, TOOLCHAINS, Toolchain};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Home of a contained program.
pub(super) const HOME: &str = "/tmp/home";

/// The search path, home and variables of the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Folders that are searched for programs.
    pub path: Vec<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Variables. Those that are not text are left out.
    pub env: BTreeMap<String, String>,
}

/// One thing that is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shown {
    /// A file or folder.
    Same {
        /// Where it is shown.
        at: PathBuf,
        /// What it is: absolute and free of links.
        from: PathBuf,
    },
    /// A link.
    Link {
        /// Where it is shown.
        at: PathBuf,
        /// Where it leads.
        to: PathBuf,
    },
}

impl Shown {
    /// Where it is shown.
    pub(super) fn at(&self) -> &Path {
        match self {
            Self::Same { at, .. } | Self::Link { at, .. } => at,
        }
    }
}

/// What a path names on this machine. The real one is [`Disk`].
pub(super) trait Look {
    /// Where the path really leads, if it names anything.
    fn canonical(&self, path: &Path) -> Option<PathBuf>;
    /// What it says if it is a link itself.
    fn link(&self, path: &Path) -> Option<PathBuf>;
}

/// This machine.
pub(super) struct Disk;

impl Look for Disk {
    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()
    }

    fn link(&self, path: &Path) -> Option<PathBuf> {
        path.read_link().ok()
    }
}

impl Host {
    /// What this process was given.
    pub fn of_process() -> Self {
        let path = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect())
            .unwrap_or_default();
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let env = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { path, home, env }
    }

    /// Where a program of this name lies on the search path.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.path.iter().map(|folder| folder.join(program)).find(|file| is_program(file))
    }

    fn toolchains(&self) -> impl Iterator<Item = (&'static Toolchain, PathBuf)> + '_ {
        TOOLCHAINS.iter().filter_map(|toolchain| {
            let named = toolchain
                .variable
                .and_then(|variable| self.env.get(variable))
                .map(PathBuf::from)
                .filter(|folder| folder.is_absolute() && !self.is_above_home(folder));
            named
                .or_else(|| Some(self.home.as_ref()?.join(toolchain.folder)))
                .map(|folder| (toolchain, folder))
        })
    }

    /// Whether showing this folder would show the home.
    fn is_above_home(&self, folder: &Path) -> bool {
        folder == Path::new("/") || self.home.as_ref().is_some_and(|home| home.starts_with(folder))
    }

    /// Everything that is shown, outer paths before inner ones. `program` is
    /// where the program itself lies.
    pub(super) fn shown(&self, program: Option<&Path>, look: &dyn Look) -> Vec<Shown> {
        let mut paths: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        paths.extend(ETC.iter().map(|name| Path::new("/etc").join(name)));
        for (toolchain, folder) in self.toolchains() {
            if toolchain.keep.is_empty() {
                paths.push(folder);
            } else {
                paths.extend(toolchain.keep.iter().map(|name| folder.join(name)));
            }
        }
        for variable in PASSED_FOLDERS {
            if let Some(folder) = self.env.get(*variable).map(PathBuf::from)
                && folder.is_absolute()
                && !self.is_above_home(&folder)
            {
                paths.push(folder);
            }
        }
        for folder in &self.path {
            self.with_company(folder, look, &mut paths);
        }
        if let Some(program) = program {
            let real = look.canonical(program);
            for file in [Some(program), real.as_deref()].into_iter().flatten() {
                self.with_program(file, look, &mut paths);
            }
        }

        let mut shown = Vec::new();
        for path in paths {
            let Some(from) = look.canonical(&path) else { continue };
            match look.link(&path) {
                Some(to) => {
                    shown.push(Shown::Link { at: path, to });
                    shown.push(Shown::Same { at: from.clone(), from });
                }
                None => {
                    if path != from {
                        shown.push(Shown::Same { at: from.clone(), from: from.clone() });
                    }
                    shown.push(Shown::Same { at: path, from });
                }
            }
        }
        outermost(shown)
    }

    /// A folder of programs and what belongs to it.
    fn with_company(&self, folder: &Path, look: &dyn Look, paths: &mut Vec<PathBuf>) {
        if !folder.is_absolute() || self.is_above_home(folder) || look.canonical(folder).is_none() {
            return;
        }
        paths.push(folder.to_owned());
        let Some(parent) = folder.parent().filter(|parent| !self.is_above_home(parent)) else {
            return;
        };
        if look.canonical(&parent.join("VERSION")).is_some() {
            // A Go root needs its sources as well.
            paths.push(parent.to_owned());
        } else if is_program_folder(folder) {
            paths.extend(BESIDE_BIN.iter().map(|name| parent.join(name)));
        }
    }

    /// A program: with its company if it lies among programs, else the file alone,
    /// since the folder may be anybody's.
    fn with_program(&self, file: &Path, look: &dyn Look, paths: &mut Vec<PathBuf>) {
        paths.push(file.to_owned());
        if let Some(folder) = file.parent().filter(|folder| is_program_folder(folder)) {
            self.with_company(folder, look, paths);
        }
    }

    /// The environment of a program: a short list, then what the step declares.
    pub(super) fn environment(
        &self,
        declared: &BTreeMap<String, String>,
        home: &Path,
        temporary: &Path,
        look: &dyn Look,
    ) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for name in PASSED {
            if let Some(value) = self.env.get(*name) {
                env.insert((*name).to_owned(), value.clone());
            }
        }
        for (toolchain, folder) in self.toolchains() {
            if let (Some(variable), Some(folder)) = (toolchain.variable, folder.to_str())
                && look.canonical(Path::new(folder)).is_some()
            {
                env.insert(variable.to_owned(), folder.to_owned());
            }
        }
        let path: Vec<&str> = self.path.iter().filter_map(|folder| folder.to_str()).collect();
        for (name, value) in [
            ("CARGO_NET_OFFLINE", "true"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
            ("HOME", &home.to_string_lossy()),
            ("LOGNAME", "user"),
            ("PATH", &path.join(":")),
            ("TERM", "dumb"),
            ("TMPDIR", &temporary.to_string_lossy()),
            ("USER", "user"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        env.entry("LANG".to_owned()).or_insert_with(|| "C.UTF-8".to_owned());
        env.extend(declared.iter().map(|(name, value)| (name.clone(), value.clone())));
        env
    }
}

fn is_program_folder(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == "bin" || name == "sbin")
}

/// Whether this is a file that may be run.
pub(super) fn is_program(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Whether a folder is the system's, or holds part of it: nothing to work in.
pub(super) fn is_system(folder: &Path) -> bool {
    let own = ["/boot", "/dev", "/etc", "/home", "/proc", "/run", "/sys", "/var"];
    SYSTEM.iter().chain(&own).any(|system| Path::new(system).starts_with(folder))
        || ["/proc", "/sys"].iter().any(|system| folder.starts_with(system))
}

/// Sorted, each once, without what an outer one shows anyway, and without
/// anything in or above the folders that are made afresh.
fn outermost(mut shown: Vec<Shown>) -> Vec<Shown> {
    let afresh = ["/proc", "/dev", "/sys", "/run", "/tmp", "/var/tmp"];
    shown.retain(|one| {
        one.at() != Path::new("/")
            && one.at().components().all(|part| !matches!(part, Component::ParentDir))
            && !afresh.iter().any(|folder| {
                let folder = Path::new(folder);
                folder.starts_with(one.at()) || one.at() == folder
            })
    });
    shown.sort_by(|left, right| left.at().cmp(right.at()).then_with(|| left.cmp(right)));
    shown.dedup_by(|later, earlier| later.at() == earlier.at());
    let mut kept: Vec<Shown> = Vec::new();
    for one in shown {
        let covered = kept.iter().any(|outer| match (outer, &one) {
            (Shown::Same { at: outer_at, from: outer_from }, Shown::Same { at, from }) => {
                at.strip_prefix(outer_at).is_ok_and(|rest| outer_from.join(rest) == *from)
            }
            (Shown::Same { at: outer_at, .. }, Shown::Link { at, .. }) => at.starts_with(outer_at),
            (Shown::Link { at: outer_at, .. }, _) => one.at().starts_with(outer_at),
        });
        if !covered {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// A machine on which exactly these paths exist; `a -> b` is a link.
    struct Paper(BTreeMap<PathBuf, Option<PathBuf>>);

    impl Paper {
        fn of(lines: &[&str]) -> Self {
            Self(
                lines
                    .iter()
                    .map(|line| match line.split_once(" -> ") {
                        Some((at, to)) => (PathBuf::from(at), Some(PathBuf::from(to))),
                        None => (PathBuf::from(line), None),
                    })
                    .collect(),
            )
        }
    }

    impl Look for Paper {
        fn canonical(&self, path: &Path) -> Option<PathBuf> {
            match self.0.get(path)? {
                Some(to) => Some(path.parent()?.join(to)),
                None => Some(path.to_owned()),
            }
        }
        fn link(&self, path: &Path) -> Option<PathBuf> {
            self.0.get(path)?.clone()
        }
    }

    fn host(path: &[&str]) -> Host {
        Host {
            path: path.iter().map(PathBuf::from).collect(),
            home: Some("/home/ann".into()),
            env: BTreeMap::new(),
        }
    }

    fn check(host: &Host, disk: &[&str], program: Option<&str>, expect: Expect) {
        let shown = host.shown(program.map(Path::new), &Paper::of(disk));
        let lines: Vec<String> = shown
            .iter()
            .map(|one| match one {
                Shown::Same { at, from } if at == from => at.display().to_string(),
                Shown::Same { at, from } => format!("{} = {}", at.display(), from.display()),
                Shown::Link { at, to } => format!("{} -> {}", at.display(), to.display()),
            })
            .collect();
        expect.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn the_system_is_shown_and_links_stay_links() {
        check(
            &host(&["/usr/bin", "/bin"]),
            &[
                "/usr",
                "/usr/bin",
                "/bin -> usr/bin",
                "/etc/passwd",
                "/etc/shadow",
                "/etc/localtime",
            ],
            None,
            expect![[r#"
                /bin -> usr/bin
                /etc/localtime
                /usr"#]],
        );
    }

    #[test]
    fn a_toolchain_is_shown_without_its_credentials() {
        check(
            &host(&["/home/ann/.cargo/bin"]),
            &[
                "/home/ann/.cargo",
                "/home/ann/.cargo/bin",
                "/home/ann/.cargo/registry",
                "/home/ann/.cargo/credentials.toml",
                "/home/ann/.rustup",
                "/home/ann/.ssh",
            ],
            None,
            expect![[r#"
                /home/ann/.cargo/bin
                /home/ann/.cargo/registry
                /home/ann/.rustup"#]],
        );
    }

    #[test]
    fn the_home_is_never_shown_for_a_folder_in_it() {
        check(
            &host(&["/home/ann/bin", "/home/ann", "/home", "/", "relative"]),
            &["/home/ann", "/home/ann/bin", "/home/ann/lib", "/home", "/"],
            None,
            expect!["/home/ann/bin"],
        );
    }

    #[test]
    fn an_unknown_program_folder_comes_with_its_libraries() {
        check(
            &host(&["/opt/tool/bin"]),
            &["/opt/tool", "/opt/tool/bin", "/opt/tool/lib", "/opt/tool/secrets.txt"],
            None,
            expect![[r#"
                /opt/tool/bin
                /opt/tool/lib"#]],
        );
        check(
            &host(&["/opt/go/bin"]),
            &["/opt/go", "/opt/go/bin", "/opt/go/VERSION"],
            None,
            expect!["/opt/go"],
        );
    }

    #[test]
    fn a_program_behind_a_link_is_shown_where_it_lies() {
        check(
            &host(&["/home/ann/bin"]),
            &["/home/ann/bin", "/home/ann/bin/x -> /srv/x/bin/x", "/srv/x/bin", "/srv/x/bin/x"],
            Some("/home/ann/bin/x"),
            expect![[r#"
                /home/ann/bin
                /srv/x/bin"#]],
        );
        // Elsewhere than among programs, the file alone: not the folder of keys.
        check(
            &host(&[]),
            &["/home/ann/.ssh", "/home/ann/.ssh/id_rsa", "/home/ann/.ssh/run"],
            Some("/home/ann/.ssh/run"),
            expect!["/home/ann/.ssh/run"],
        );
    }

    #[test]
    fn the_environment_is_a_short_list() {
        let mut host = host(&["/usr/bin"]);
        host.env = [("AWS_SECRET", "x"), ("LANG", "de_DE.UTF-8"), ("LD_PRELOAD", "/x.so")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let declared = BTreeMap::from([("MODE".to_owned(), "test".to_owned())]);
        let disk = Paper::of(&["/home/ann/.rustup"]);
        let env = host.environment(&declared, Path::new(HOME), Path::new("/tmp"), &disk);
        let lines: Vec<String> =
            env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        expect![[r#"
            CARGO_NET_OFFLINE=true
            GOPROXY=off
            GOTOOLCHAIN=local
            HOME=/tmp/home
            LANG=de_DE.UTF-8
            LOGNAME=user
            MODE=test
            PATH=/usr/bin
            RUSTUP_HOME=/home/ann/.rustup
            TERM=dumb
            TMPDIR=/tmp
            USER=user"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn system_folders_are_no_workspaces() {
        for folder in ["/", "/usr", "/etc", "/proc/1", "/home", "/var", "/nix"] {
            assert!(is_system(Path::new(folder)), "{folder}");
        }
        for folder in ["/home/ann", "/tmp", "/tmp/x", "/srv/work", "/var/www", "/usr/src/x"] {
            assert!(!is_system(Path::new(folder)), "{folder}");
        }
    }
}
