//! Tables of what programs need of a machine and what holds no secrets.

/// Programs and libraries of the system.
pub(super) const SYSTEM: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// Files of `/etc` that programs need and that hold no secrets.
pub(super) const ETC: &[&str] = &[
    "alternatives",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "default/locale",
    "fonts",
    "ghc",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "mailcap",
    "mime.types",
    "nanorc",
    "nsswitch.conf",
    "os-release",
    "papersize",
    "perl",
    "pki/tls/certs",
    "pki/ca-trust",
    "profile",
    "protocols",
    "python3",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "R",
    "redhat-release",
    "rpc",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "texmf",
    "timezone",
    "xdg",
    "xml",
];

/// A toolchain that lives in the home of its user.
pub(super) struct Toolchain {
    /// Below the home.
    pub(super) folder: &'static str,
    /// The variable that names the folder, for the toolchain itself too.
    pub(super) variable: Option<&'static str>,
    /// What of it is shown; empty: all. The rest may hold credentials.
    pub(super) keep: &'static [&'static str],
}

const fn toolchain(
    folder: &'static str,
    variable: Option<&'static str>,
    keep: &'static [&'static str],
) -> Toolchain {
    Toolchain { folder, variable, keep }
}

pub(super) const TOOLCHAINS: &[Toolchain] = &[
    toolchain(".cargo", Some("CARGO_HOME"), &["bin", "registry", "git", "config", "config.toml"]),
    toolchain(".rustup", Some("RUSTUP_HOME"), &[]),
    toolchain(".pyenv", Some("PYENV_ROOT"), &[]),
    toolchain(".nvm", Some("NVM_DIR"), &[]),
    toolchain(".volta", Some("VOLTA_HOME"), &["bin", "tools"]),
    toolchain(".asdf", Some("ASDF_DATA_DIR"), &[]),
    toolchain(".rbenv", Some("RBENV_ROOT"), &[]),
    toolchain(".sdkman/candidates", Some("SDKMAN_CANDIDATES_DIR"), &[]),
    toolchain(".deno", Some("DENO_INSTALL"), &["bin"]),
    toolchain(".bun", Some("BUN_INSTALL"), &["bin", "install"]),
    toolchain("go", Some("GOPATH"), &["bin", "pkg"]),
    toolchain(".ghcup", None, &[]),
    toolchain(".elan", Some("ELAN_HOME"), &[]),
    toolchain(".opam", Some("OPAMROOT"), &[]),
    toolchain(".juliaup", None, &[]),
    toolchain(".dotnet", Some("DOTNET_ROOT"), &[]),
    toolchain("miniconda3", None, &[]),
    toolchain("anaconda3", None, &[]),
    toolchain("miniforge3", None, &[]),
    toolchain(".nix-profile", None, &[]),
    toolchain(".local/bin", None, &[]),
    toolchain(".local/lib", None, &[]),
    toolchain(".local/share/fnm", None, &[]),
    toolchain(".local/share/mise", Some("MISE_DATA_DIR"), &[]),
    toolchain(".local/share/pnpm", Some("PNPM_HOME"), &[]),
    toolchain(".local/share/uv", None, &[]),
];

/// What belongs to a program folder that is on the search path but unknown.
pub(super) const BESIDE_BIN: &[&str] =
    &["conf", "include", "jmods", "jre", "lib", "lib32", "lib64", "libexec", "release", "share"];

/// Variables that a program is given as they are.
pub(super) const PASSED: &[&str] = &[
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_COLLATE",
    "LC_MESSAGES",
    "LC_NUMERIC",
    "LC_TIME",
    "TZ",
    "RUSTUP_TOOLCHAIN",
    "JAVA_HOME",
    "GOROOT",
    "GOMODCACHE",
    "CONDA_PREFIX",
];

/// Passed variables that name a folder of a toolchain.
pub(super) const PASSED_FOLDERS: &[&str] = &["JAVA_HOME", "GOROOT", "GOMODCACHE", "CONDA_PREFIX"];
