//! Names that look like they hold keys or passwords. Pure: judged by name alone.

/// Endings of key material.
const ENDINGS: [&str; 12] = [
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".jks",
    ".keystore",
    ".kdbx",
    ".ppk",
    ".gpg",
    ".asc",
    ".age",
    ".ovpn",
];

/// Whole names.
const NAMES: [&str; 14] = [
    ".netrc",
    "_netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".vault-token",
    ".my.cnf",
    "htpasswd",
    "shadow",
    "wallet.dat",
    "master.key",
];

/// How names begin.
const BEGINNINGS: [&str; 9] = [
    ".env",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials",
    "passwords",
    "api_key",
    "apikey",
];

/// Folders that hold nothing else.
const FOLDERS: [&str; 6] = [".ssh", ".gnupg", ".aws", ".password-store", ".kube", ".docker"];

/// Endings of source code: a file named `secrets.rs` is about secrets and holds
/// none.
const SOURCES: [&str; 11] =
    [".rs", ".go", ".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".rb", ".swift"];

/// Whether a path, or a glob, names something that looks like a secret.
pub fn looks_secret(path: &str) -> bool {
    let path = path.to_lowercase();
    let mut segments = path.split('/').rev();
    let name = segments.next().unwrap_or_default();
    // Public halves of keys and examples are made to be shown.
    let shown = [".pub", ".example", ".sample", ".template"].iter().any(|end| name.ends_with(end));
    let source = SOURCES.iter().any(|end| name.ends_with(end));
    let by_name = ENDINGS.iter().any(|end| name.ends_with(end))
        || NAMES.contains(&name)
        || BEGINNINGS.iter().any(|begin| name.starts_with(begin)) && !source
        || name.contains("secret") && !source;
    (by_name && !shown) || segments.any(|folder| FOLDERS.contains(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name() {
        for path in [
            ".env",
            ".env.local",
            "app/.ENV",
            "id_rsa",
            "keys/id_ed25519",
            "server.pem",
            "tls/server.KEY",
            "credentials",
            "credentials.json",
            ".aws/config",
            "a/.ssh/config",
            "client_secret.json",
            ".netrc",
            "*.pem",
            "**/.env*",
            "vault.kdbx",
        ] {
            assert!(looks_secret(path), "{path}");
        }
    }

    #[test]
    fn ordinary_names_are_none() {
        for path in [
            "notes.md",
            "environment.md",
            "keyboard.txt",
            "monkey.txt",
            "id_rsa.pub",
            ".env.example",
            "src/secrets.rs",
            "**/*.md",
            "*",
            "secretary/notes.txt",
        ] {
            assert!(!looks_secret(path), "{path}");
        }
    }
}
