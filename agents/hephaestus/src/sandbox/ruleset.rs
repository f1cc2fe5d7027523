//! The file rules (Landlock): a second wall behind the mounts, and the only one
//! where namespaces cannot be had.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    PathFdError, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::path::{Path, PathBuf};

/// The newest rules that are asked for; an older kernel enforces what it knows.
const ASKED: ABI = ABI::V9;

/// The rules that make a level without namespaces worth its name: renames
/// between folders and truncation are covered from here on.
pub(super) const ABI_FLOOR: i32 = 3;

/// Why the rules could not be put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum RulesError {
    /// The kernel refuses them.
    #[error("the kernel refuses the rules")]
    Ruleset(#[from] RulesetError),
    /// A folder to be permitted cannot be opened.
    #[error("could not open {path:?}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: PathFdError,
    },
}

/// What the kernel enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enforced {
    /// Version of the rules in force; 0: none.
    pub(super) abi: i32,
    /// In words.
    pub(super) detail: String,
}

/// Puts the rules in force for this process and all it starts, for good:
/// reading and running below `readable`, everything below `writable`, nothing
/// elsewhere. `network` false denies TCP as well.
pub(super) fn enforce(
    readable: &[PathBuf],
    writable: &[PathBuf],
    network: bool,
) -> Result<Enforced, RulesError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?;
    if !network {
        rules = rules.handle_access(AccessNet::from_all(ASKED))?;
    }
    let mut created = rules.create()?;
    for (paths, access) in
        [(readable, AccessFs::from_read(ASKED)), (writable, AccessFs::from_all(ASKED))]
    {
        for path in paths {
            let access = if is_folder(path) { access } else { access & file_access() };
            created = created.add_rule(PathBeneath::new(open(path)?, access))?;
        }
    }
    let status = created.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    Ok(Enforced {
        abi,
        detail: match status.ruleset {
            RulesetStatus::FullyEnforced => format!("all rules, version {abi}"),
            RulesetStatus::PartiallyEnforced => {
                format!("rules up to version {abi}; the kernel knows no newer ones")
            }
            RulesetStatus::NotEnforced => "the kernel has no Landlock, or it is off".to_owned(),
        },
    })
}

fn file_access() -> landlock::BitFlags<AccessFs> {
    AccessFs::from_file(ASKED)
}

fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

fn open(path: &Path) -> Result<PathFd, RulesError> {
    PathFd::new(path).map_err(|source| RulesError::Path { path: path.to_owned(), source })
}
